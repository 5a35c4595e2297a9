"""A TOML file becomes one frozen value, or one message that names every fault in it."""

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cxrnode.errors import CxrNodeError


class Table(BaseModel):
    """A table of the file: frozen, and no key but the known ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


T = TypeVar("T", bound=Table)


def read_table(path: Path, kind: type[T], error: type[CxrNodeError]) -> T:
    """Read `path` as a `kind`; raises `error` with every fault: key, value and what was wanted."""
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as fault:
        raise error(f"{path}: cannot be read ({fault.strerror})") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise error(f"{path}: not TOML ({fault})") from fault
    except ValidationError as fault:
        raise error(_faults(fault, path)) from fault


def _faults(error: ValidationError, path: Path) -> str:
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "the whole"
        value = "" if fault["type"] == "missing" or not fault["loc"] else f" = {fault['input']!r}"
        lines.append(f"  {key}{value}: {fault['msg']}")
    return "\n".join([f"{len(lines)} {'fault' if len(lines) == 1 else 'faults'} in {path}:", *lines])
