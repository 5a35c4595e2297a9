"""A plan: the studies that a replay goes through, as a file of one JSON object a line, to be reviewed and then run.

The first line tells how the studies were chosen; each line after it is one study, in the order in which they are read.
A plan is patient data: it has UIDs and accession numbers, and its file mode 0600.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from cxrnode.errors import SettingsError
from cxrnode.faults import faults_in
from cxrnode.settings.part import Part
from cxrnode.whole import written_whole

LONGEST_LINE = 2**26
"""Bytes; a study of a hundred thousand files has fewer."""
LONGEST_HEAD = 2**20
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
    asked: dict[str, str] = Field(default_factory=dict)
    made_at: datetime

    @field_validator("asked", mode="before")
    @classmethod
    def _can_be_written(cls, asked: Any) -> Any:
        """A path in the words may hold bytes that are no text: they are shown by their numbers."""
        return {name: _shown(value) for name, value in asked.items()} if isinstance(asked, dict) else asked


class Entry(Part):
    """One study of a plan; what its source does not tell is empty, or None.

    `files` are its images where they are files, by the names that `plans.filed` gives them: a path, or the path of a
    .zip, "::" and the member's name. They are Unicode text whatever bytes the path has; other text is refused. A study
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

    @field_validator("study", "accession", "date", "reason", "files")
    @classmethod
    def _is_text(cls, told: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for text in (told,) if isinstance(told, str) else told:
            if not text.isascii() and _shown(text) != text:
                raise ValueError(
                    f"{_shown(text)} is no Unicode text; wanted the name that cxrnode.plans.filed gives the file"
                )
        return told

    @model_validator(mode="after")
    def _has_something_to_go_by(self) -> "Entry":
        if not (self.study or self.verdict):
            raise ValueError("study is absent; wanted its Study Instance UID, or a verdict and its reason")
        return self


def write(path: Path, head: Head, entries: Iterable[Entry]) -> int:
    """Write a plan, whole or not at all; how many studies it has. It needs no more memory than its longest study.

    Raises SettingsError where the file cannot be written, or a study's line would be too long to be read again.
    """
    count = 0
    with written_whole(path) as file:
        file.write(_line(head))
        for count, entry in enumerate(entries, start=1):  # noqa: B007  the last one is the count
            file.write(_line(entry))
    return count


def head_of(path: Path) -> Head:
    """How the studies of a plan were chosen. Raises SettingsError where the file is no plan."""
    with _opened(path) as file:
        return _head(path, file)


def entries_of(path: Path) -> Iterator[Entry]:
    """The studies of a plan in order, one at a time. Raises SettingsError with the line that is wrong."""
    with _opened(path) as file:
        _head(path, file)
        for number, line in enumerate(_lines(file), start=2):
            if line.strip():  # an editor may leave empty ones
                yield _parsed(Entry, path, number, line)


def batches(entries: Iterable[Entry], size: int = 1000) -> Iterator[list[Entry]]:
    """The same, so many at a time."""
    left = iter(entries)
    while batch := list(islice(left, size)):
        yield batch


def as_line(entry: Entry) -> str:
    """A study as its line of the plan has it, without the end of the line."""
    return _line(entry).rstrip("\n")


def _shown(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _line(part: Part) -> str:
    told = part.model_dump(mode="json", exclude_defaults=True)
    mark = {"cxrnode_plan": 1} if isinstance(part, Head) else {}
    line = json.dumps(mark | told, ensure_ascii=False) + "\n"
    if len(line) > LONGEST_LINE // 4 and len(line.encode()) > LONGEST_LINE:  # a character has four bytes at the most
        raise SettingsError(f"a line of the plan holds {len(line)} characters; wanted {LONGEST_LINE} bytes at the most")
    return line


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); wanted a plan") from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.readline(LONGEST_LINE + 1), b"")


def _head(path: Path, file: BinaryIO) -> Head:
    """The first line, which says that the file is a plan."""
    line = file.readline(LONGEST_HEAD).removeprefix(BOM_UTF8)  # of an editor's making
    head = _parsed(Head, path, 1, line)
    if "cxrnode_plan" not in head.model_fields_set:
        raise SettingsError(f"line 1 of the plan {path}: cxrnode_plan is absent; wanted 1")
    return head


def _parsed(kind: type[Kind], path: Path, number: int, line: bytes) -> Kind:
    if len(line) > LONGEST_LINE:
        raise SettingsError(f"line {number} of the plan {path}: longer than {LONGEST_LINE} bytes; wanted one study")
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        raise SettingsError(faults_in(f"line {number} of the plan {path}", error)) from error
