"""The kill matrix of this run, as a table at its end: arrow x fault -> the invariants, and whether they held."""

from collections.abc import Iterable, Iterator, Sequence

from cxrnode.faultpoints import Point

PROPERTY = "matrix"

Row = tuple[str, str, str, bool]
"""arrow, fault, the invariants that were looked at ("I1, I3"), and whether they held"""


def rows_in(reports: Iterable[object]) -> list[Row]:
    """Every row that a test recorded: `record_property("matrix", (arrow, fault, invariants))`, in whatever process."""
    return [
        (*value, getattr(report, "outcome", "") == "passed")
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY and getattr(report, "when", "") == "call"
    ]


def in_words(rows: Sequence[Row]) -> Iterator[str]:
    """The table."""
    held = sum(row[3] for row in rows)
    yield f"{len(rows)} rows, {held} hold" + ("" if held == len(rows) else f", {len(rows) - held} BROKEN")
    arrows, faults = (max(len(row[column]) for row in rows) for column in (0, 1))
    for arrow, fault, invariants, holds in sorted(rows, key=_of_the_day):
        yield f"{arrow:<{arrows}}  {fault:<{faults}}  {invariants} {'hold' if holds else 'BROKEN'}"


def _of_the_day(row: Row) -> int:
    """Where in a study's day its arrow stands; what is no point of it comes last."""
    order = [str(point) for point in Point]
    return order.index(row[0]) if row[0] in order else len(order)
