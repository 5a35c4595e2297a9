"""The verdict file: a CSV that says of every study of a plan how it ended, and its probability where it was analysed.

It is patient data as its plan is, and has mode 0600. A cell that a spreadsheet would take for a formula begins with an
apostrophe; `read` takes it away.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from pathlib import Path

from cxrnode.errors import SettingsError
from cxrnode.plans.plan import Verdict
from cxrnode.table import guarded, unguarded
from cxrnode.whole import written_whole


@dataclass(frozen=True)
class Row:
    """How one study of a plan ended; what does not apply is empty, or None. The fields are the file's columns."""

    number: int
    """its place in the plan, from 1"""
    study_instance_uid: str
    accession_number: str
    study_date: str
    """as in DICOM"""
    verdict: Verdict
    reason: str = ""
    outcome: str = ""
    """the worst of its images, in the words of `cxrnode.finding.Outcome`"""
    probability: float | None = None
    """calibrated, in [0, 1]"""
    model: str = ""
    instances: int | None = None
    round: int | None = None
    """of the study's rounds the one that was analysed for this plan, from 1"""
    delivered: str = ""
    """what became of its results: committed, sent, waiting, not sent"""
    at: datetime | None = None
    """when it ended, UTC"""


COLUMNS = tuple(field.name for field in fields(Row))


def write(path: Path, rows: Iterable[Row]) -> Counter[Verdict]:
    """Write the file, whole or not at all; how many studies have each verdict. Raises SettingsError.

    Memory does not grow with the rows.
    """
    counts: Counter[Verdict] = Counter()
    with written_whole(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            counts[row.verdict] += 1
            writer.writerow([_cell(value) for value in astuple(row)])
    return counts


def read(path: Path) -> Iterator[Row]:
    """The rows of a verdict file, one at a time. Raises SettingsError with the line that is wrong."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            columns = next(reader, [])
            if tuple(columns) != COLUMNS:
                raise SettingsError(f"{path}: the columns are {', '.join(columns)}; wanted {', '.join(COLUMNS)}")
            for cells in reader:
                try:
                    yield _row(*map(unguarded, cells))
                except (ValueError, TypeError) as error:
                    raise SettingsError(f"{path} line {reader.line_num}: {error}; wanted a study's verdict") from error
    except (OSError, UnicodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{path}: cannot be read ({reason}); wanted a verdict file") from error


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value).replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    return guarded(text.encode("utf-8", "backslashreplace").decode()) if isinstance(value, str) else text


def _row(*cells: str) -> Row:
    told = dict(zip(COLUMNS, cells, strict=True))
    return Row(
        number=int(told["number"]),
        study_instance_uid=told["study_instance_uid"],
        accession_number=told["accession_number"],
        study_date=told["study_date"],
        verdict=Verdict(told["verdict"]),
        reason=told["reason"],
        outcome=told["outcome"],
        probability=float(told["probability"]) if told["probability"] else None,
        model=told["model"],
        instances=int(told["instances"]) if told["instances"] else None,
        round=int(told["round"]) if told["round"] else None,
        delivered=told["delivered"],
        at=datetime.fromisoformat(told["at"]) if told["at"] else None,
    )
