"""For each arrow of a study's day: the process concerned is killed there, and started again; the promise must hold.

One node and one real Orthanc go through all rows, each with a study of its own and a bystander that comes right after.
"""

import os
from collections.abc import Callable, Iterator

import pytest

from cxrnode.faultpoints import Fault, Point
from tests.flow.days import Day, long_day

TIMES = int(os.environ.get("MATRIX_TIMES", "1"))
WORKS = list(Point)[list(Point).index(Point.LEASED) : list(Point).index(Point.BEFORE_REPORT)]
"""what workers do, whose parent restarts them; in the short form these few lose their parent too"""
WHOLE_WORKERS = WORKS if TIMES > 1 else [Point.LEASED, Point.RESULTS_KEPT, Point.MID_STORE, Point.BEFORE_REQUEST]
ROWS = [
    *((point, Fault.KILL) for point in Point),
    *((point, Fault.KILL_ALL) for point in WHOLE_WORKERS),
    (Point.MID_ANALYSIS, Fault.MEMORY),
    (Point.MID_ANALYSIS, Fault.HANG),
    (Point.BEFORE_STORE, Fault.MEMORY),
] * TIMES


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    with long_day(tmp_path_factory.mktemp("matrix")) as day:
        yield day


@pytest.mark.parametrize(("point", "fault"), ROWS, ids=[f"{point}-{fault}" for point, fault in ROWS])
def test_the_promise_holds_whoever_is_killed_wherever(
    day: Day, point: Point, fault: Fault, record_property: Callable[[str, object], None]
) -> None:
    """Seen red, by invariant, with one line removed or changed (I1: see test_fault_matrix.py).

    I2 ledger/work.py, `or_(waiting, expired)` -> `waiting`: "mid analysis" waits for ever.
    I3 ledger/parcels.py `outstanding`, `deliveries.c.fate == Fate.DUE` removed: "all fates in the ledger" sends twice.
    I4 workers/delivery.py, `commit` -> False: the first row is accepted and no more.
    """
    record_property("matrix", (str(point), str(fault), "I1, I2, I3, I4, I5"))
    struck = day.plant(point, fault)
    day.again += point is Point.AFTER_STORE  # the archive has one object whose answer we have not: it is sent again
    day.push()
    day.wait(struck)
    day.finish()
