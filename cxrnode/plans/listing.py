"""A list of studies as people keep them: a CSV of Study Instance UIDs or accession numbers, read row by row.

A row that names no study becomes a line of the plan with its verdict, so that one slip in a long list stops nothing
and is not forgotten. A file in which no row names one is no list, and an error.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cxrnode.errors import SettingsError
from cxrnode.plans.plan import Entry, Verdict
from cxrnode.plans.seen import Seen
from cxrnode.spool import UID_LENGTH
from cxrnode.table import MOST_TOLD, faults_told, rows_of

WANTED = "a CSV of Study Instance UIDs or accession numbers"
UID = re.compile(r"[0-9]+(\.[0-9]+)+")
"""Looser than PS3.5 9.1, which forbids zeros that archives have nevertheless."""
LIKE_A_UID = re.compile(r"[012](\.[0-9]+){3,}")
LONGEST_ACCESSION = 64
"""Characters; 16 by the standard (SH), which is not kept everywhere."""
ROUNDED = re.compile(r"[0-9][.,]?[0-9]*E\+[0-9]+", re.IGNORECASE)


class Kind(StrEnum):
    """What a study is called by."""

    STUDY = "study"
    ACCESSION = "accession"


@dataclass(frozen=True)
class Named:
    """A study by its Study Instance UID or its accession number."""

    kind: Kind
    value: str


HEADINGS = {
    "study": Kind.STUDY,
    "studyuid": Kind.STUDY,
    "studyinstanceuid": Kind.STUDY,
    "0020000d": Kind.STUDY,
    "accession": Kind.ACCESSION,
    "accessionno": Kind.ACCESSION,
    "accessionnumber": Kind.ACCESSION,
    "00080050": Kind.ACCESSION,
}
"""What a column may be called, but for case, blanks and points."""


def listed(path: Path) -> Iterator[Named | Entry]:
    """The studies that a list names, each once and in its order, and an Entry of verdict failed for each bad row.

    A column is known by its heading; a file of one column needs none, and its values are told apart by their form.
    Where a row has both, its UID counts. Memory does not grow with the list. Raises SettingsError for what is no list.
    """
    faults: list[str] = []
    good = False
    with Seen() as seen:
        for line, named in _named(path):
            if isinstance(named, Named):
                good = True
                if seen.first_time(f"{named.kind} {named.value}"):
                    yield named
                continue
            if not good and len(faults) <= MOST_TOLD:
                faults.append(f"line {line}: {named}")
            yield Entry(verdict=Verdict.FAILED, reason=f"line {line} of {_shown(path)}: {named}")
    if not good:
        raise SettingsError(faults_told(path, faults or [f"no row; wanted {WANTED}"]))


def heading(cell: str) -> str:
    """A column's heading in the form in which it is looked up: letters and digits alone, in lower case."""
    return re.sub(r"[^0-9a-z]", "", cell.lower())


def fault_of(kind: Kind, value: str) -> str:
    """Why a value cannot be what a study is called by; empty when it can."""
    if kind is Kind.STUDY and (len(value) > UID_LENGTH or not UID.fullmatch(value)):
        return f"study is {value[:80]!r}; wanted a UID: digits and points, {UID_LENGTH} characters at the most"
    if ROUNDED.fullmatch(value):
        return f"{kind} is {value!r}, which a spreadsheet has rounded; wanted all its digits"
    if len(value) > LONGEST_ACCESSION or not value.isprintable() or re.search(r"[*?\\]", value):
        return f"{kind} is {value[:80]!r}; wanted no * ? or \\, and {LONGEST_ACCESSION} characters at the most"
    return ""


def _named(path: Path) -> Iterator[tuple[int, Named | str]]:
    """Each row's line and study, or what is wrong with it."""
    columns: dict[int, Kind] | None = None
    for line, cells in rows_of(path, WANTED):
        if columns is None:
            columns = {at: HEADINGS[name] for at, cell in enumerate(cells) if (name := heading(cell)) in HEADINGS}
            if columns:
                continue
            if len([cell for cell in cells if cell]) > 1:
                raise SettingsError(
                    f"{path} line {line}: the columns are {', '.join(cells)}; wanted one called study_instance_uid or "
                    "accession_number, or one column alone"
                )
        yield line, _study_of(cells, columns)


def _study_of(cells: list[str], columns: dict[int, Kind]) -> Named | str:
    if columns:
        told = {kind: cells[at] for at, kind in reversed(columns.items()) if at < len(cells) and cells[at]}
        kind = min(told, key=list(Kind).index, default=None)
        if kind is None:
            return f"no {' and no '.join(dict.fromkeys(columns.values()))}; wanted one in every row"
        value = told[kind]
    else:
        values = [cell for cell in cells if cell]
        if len(values) > 1:
            return f"{len(values)} values; wanted one, for the rows above have one column"
        value = values[0]
        kind = Kind.STUDY if LIKE_A_UID.fullmatch(value) else Kind.ACCESSION
    return fault_of(kind, value) or Named(kind, value)


def _shown(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()
