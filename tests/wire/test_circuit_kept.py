"""What is kept of a destination that is away: which task is its next probe, and when nothing is left to be told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select, update

from cxrnode.commands.samples import free_ports
from cxrnode.ledger import circuits, work
from cxrnode.ledger.circuits import OPENS_AFTER
from cxrnode.ledger.states import TaskState
from cxrnode.ledger.tables import tasks
from cxrnode.settings.destination import Destination
from tests.desks import open_desk, owing, turn
from tests.fakes import FakePacs
from workers.delivery import deliver_leased
from workers.desk import Desk

HOUR = timedelta(hours=1)
SLOW = {"first_retry_s": 60.0, "longest_retry_s": 600.0, "give_up_after_h": 1.0}


def away(port: int) -> Destination:
    return FakePacs(port=port).destination(name="away", timeout_s=3, commitment="off")


def opened(folder: Path, studies: int) -> Desk:
    desk = owing(folder, studies, away(free_ports(1)[0]), **SLOW)
    while turn(desk):
        pass
    assert circuits.opened(desk.ledger)
    return desk


def grow_old(desk: Desk) -> None:
    with desk.ledger.writing() as db:
        long_ago = datetime.now(UTC) - 2 * HOUR
        db.execute(update(tasks).where(tasks.c.destination == "away").values(created_at=long_ago, due_at=long_ago))


def test_one_that_is_noted_as_queued_after_a_worker_let_it_lie_is_the_probe_all_the_same(tmp_path: Path) -> None:
    """Who queues a task notes so afterwards. Red without the `probe_at` in `work.due`: nothing would ever be tried."""
    desk = opened(tmp_path, OPENS_AFTER + 1)
    with desk.ledger.reading() as db:
        lies = select(tasks.c.key).where(tasks.c.destination == "away", tasks.c.attempts == 0)
        (untried, *_) = db.execute(lies.order_by(tasks.c.due_at)).scalars()
    assert work.lease(desk.ledger, untried, datetime.now(UTC), 600) == []
    work.submitted(desk.ledger, [untried], datetime.now(UTC))
    (told,) = circuits.opened(desk.ledger)
    (probe,) = work.due(desk.ledger, told.next_try, {})
    assert probe.task_key == untried
    work.submitted(desk.ledger, [untried], told.next_try)
    assert work.due(desk.ledger, told.next_try + HOUR / 60, {}) == [], "and then it is in the queue"


def test_one_that_nothing_waits_for_is_not_told_as_away(tmp_path: Path) -> None:
    """Nobody will call it, to learn that it is back. Red without `circuits.forget` in `work.settle`."""
    desk = opened(tmp_path, OPENS_AFTER + 1)
    grow_old(desk)
    assert turn(desk) == OPENS_AFTER + 1
    with desk.ledger.reading() as db:
        assert db.execute(select(circuits.circuits)).all() == []
    assert circuits.opened(desk.ledger) == []


def test_one_that_was_taken_out_of_the_settings_is_not_told_as_away_for_ever(tmp_path: Path) -> None:
    """Red without the same."""
    desk = opened(tmp_path, OPENS_AFTER)
    without = open_desk(tmp_path, [], delivery=SLOW)
    grow_old(desk)
    assert turn(without) == OPENS_AFTER
    assert circuits.opened(without.ledger) == []


def test_one_that_a_task_still_waits_for_is(tmp_path: Path) -> None:
    """Red when `circuits.forget` does not look for open tasks, or only for those that are due."""
    desk = opened(tmp_path, OPENS_AFTER + 1)
    (told,) = circuits.opened(desk.ledger)
    (probe,) = work.due(desk.ledger, told.next_try, {})
    (held,) = work.lease(desk.ledger, probe.task_key, told.next_try, 600)
    with desk.ledger.writing() as db:
        others = (tasks.c.destination == "away", tasks.c.state == TaskState.DUE)
        long_ago = datetime.now(UTC) - 2 * HOUR
        db.execute(update(tasks).where(*others).values(created_at=long_ago, due_at=long_ago))
    assert turn(desk) == OPENS_AFTER
    assert [one.since for one in circuits.opened(desk.ledger)] == [told.since]
    deliver_leased(desk, held)
    assert [one.since for one in circuits.opened(desk.ledger)] == [told.since], "it waits again"
