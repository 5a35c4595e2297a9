"""A TOML file becomes one frozen value, or one message that names every fault in it."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cxrnode.errors import CxrNodeError
from cxrnode.faults import faults_in


class Table(BaseModel):
    """A table of the file: frozen, and no key but the known ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


T = TypeVar("T", bound=Table)


def read_table(path: Path, kind: type[T], error: type[CxrNodeError]) -> T:
    """Read `path` as a `kind`; raises `error` with every fault: key, value and what was wanted."""
    return as_table(load_toml(path, error), kind, path, error)


def load_toml(path: Path, error: type[CxrNodeError]) -> dict[str, Any]:
    """What `path` holds, unjudged; raises `error` when it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise error(f"{path}: cannot be read ({fault.strerror})") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise error(f"{path}: not TOML ({fault})") from fault


def as_table(values: dict[str, Any], kind: type[T], path: Path, error: type[CxrNodeError]) -> T:
    """`values`, read from `path`, as a `kind`; raises `error` with every fault: key, value and what was wanted."""
    try:
        return kind.model_validate(values)
    except ValidationError as fault:
        raise error(faults_in(str(path), fault)) from fault
