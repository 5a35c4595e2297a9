"""A plan: the studies that a replay goes through, as a file of one JSON object a line, to be reviewed and then run.

The first line tells how the studies were chosen; each line after it is one study, in the order in which they are read.
A plan is patient data: it has UIDs and accession numbers, and its file mode 0600.
"""

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from cxrnode.errors import SettingsError
from cxrnode.faults import faults_in
from cxrnode.part import Part

LONGEST_LINE = 2**26
"""Bytes; a study of a hundred thousand files has fewer"""
Kind = TypeVar("Kind", bound=Part)


class Origin(StrEnum):
    """Where the images of a plan's studies are."""

    FILES = "files"
    ARCHIVE = "archive"
    SPOOL = "spool"


class Verdict(StrEnum):
    """How a study of a plan ended."""

    ANALYSED = "analysed"
    REFUSED = "refused"
    NOT_APPLICABLE = "not applicable"
    FAILED = "failed"
    NOT_FOUND = "not found"
    NOT_WHOLE = "not whole"


class Head(Part):
    """How the studies of a plan were chosen; `asked` is that in words, by option."""

    cxrnode_plan: Literal[1] = 1
    origin: Origin
    archive: str = ""
    """the name of the archive in the settings"""
    asked: dict[str, str] = {}
    made_at: datetime


class Entry(Part):
    """One study of a plan; what its source does not tell is empty, or None.

    `files` are its images where they are files: a path, or the path of a .zip, "::" and the member's name. A study
    whose `verdict` is known when the plan is made is not looked for again.
    """

    study: str = ""
    """Study Instance UID (0020,000D)"""
    accession: str = ""
    date: str = ""
    """Study Date (0008,0020), as in DICOM"""
    instances: int | None = Field(default=None, ge=0)
    size: int | None = Field(default=None, ge=0)
    """bytes of all its images together"""
    files: tuple[str, ...] = ()
    verdict: Verdict | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _has_something_to_go_by(self) -> "Entry":
        if not (self.study or self.verdict):
            raise ValueError("study is absent; wanted its Study Instance UID, or a verdict and its reason")
        return self


def write(path: Path, head: Head, entries: Iterable[Entry]) -> int:
    """Write a plan, whole or not at all; how many studies it has. It needs no more memory than its longest study."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.draft")
    count = 0
    try:
        with open(draft, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(_line(head))
            for count, entry in enumerate(entries, start=1):  # noqa: B007  the last one is the count
                file.write(_line(entry))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def head_of(path: Path) -> Head:
    """How the studies of a plan were chosen. Raises SettingsError where the file is no plan."""
    with _opened(path) as file:
        return _parsed(Head, path, 1, file.readline(LONGEST_LINE))


def entries_of(path: Path) -> Iterator[Entry]:
    """The studies of a plan in order, one at a time. Raises SettingsError with the line that is wrong."""
    with _opened(path) as file:
        _parsed(Head, path, 1, file.readline(LONGEST_LINE))
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), start=2):
            yield _parsed(Entry, path, number, line)


def batches(entries: Iterable[Entry], size: int = 1000) -> Iterator[list[Entry]]:
    """The same, so many at a time."""
    left = iter(entries)
    while batch := list(islice(left, size)):
        yield batch


def as_line(entry: Entry) -> str:
    """A study as its line of the plan has it, without the end of the line."""
    return _line(entry).rstrip("\n")


def _line(part: Part) -> str:
    return json.dumps(part.model_dump(mode="json", exclude_defaults=True) | _marks(part), ensure_ascii=False) + "\n"


def _marks(part: Part) -> dict[str, int]:
    return {"cxrnode_plan": 1} if isinstance(part, Head) else {}


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); wanted a plan") from error


def _parsed(kind: type[Kind], path: Path, number: int, line: bytes) -> Kind:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        raise SettingsError(faults_in(f"line {number} of the plan {path}", error)) from error
