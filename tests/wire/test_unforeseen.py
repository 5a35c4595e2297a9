"""What nobody foresees (a file that is gone, no memory, a worker that dies): told by its kind, and ended in time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import Row, select, update

from cxrnode.commands.samples import free_ports
from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger import circuits, parcels, withdrawals, work
from cxrnode.ledger.account import account
from cxrnode.ledger.quarantine import waiting
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import TaskState, Work
from cxrnode.ledger.tables import objects, tasks
from cxrnode.settings.destination import Destination
from tests.archives import Archive
from tests.desks import owing, turn
from tests.fakes import FakePacs
from workers import commitment, delivery, rejection
from workers.desk import Desk

HOUR = timedelta(hours=1)
SLOW = {"first_retry_s": 60.0, "longest_retry_s": 600.0, "give_up_after_h": 1.0}


def pacs_of(pacs: FakePacs, **given: object) -> Destination:
    return pacs.destination(**{"timeout_s": 3, "commitment": "off"} | given)


def task_of(desk: Desk, kind: Work = Work.DELIVER) -> Row[tuple[object, ...]]:
    with desk.ledger.reading() as db:
        return db.execute(select(tasks).where(tasks.c.work == kind)).one()


def grow_old(desk: Desk) -> None:
    with desk.ledger.writing() as db:
        long_ago = datetime.now(UTC) - 2 * HOUR
        db.execute(update(tasks).values(created_at=long_ago, due_at=long_ago))


def die_under_it(desk: Desk, kind: Work) -> None:
    """The worker that has the task is killed, and its lease runs out."""
    key, now = task_of(desk, kind).key, datetime.now(UTC)
    assert work.lease(desk.ledger, key, now - HOUR, 600)


def a_file_that_is_gone(desk: Desk) -> None:
    with desk.ledger.reading() as db:
        for row in db.execute(select(objects)).all():
            desk.spool.result(row.round_key, row.file).unlink()


def test_a_result_that_is_gone_is_told_by_its_kind_and_given_up_in_time(tmp_path: Path) -> None:
    """Red without the `except Exception` in `delivery.deliver_leased`."""
    with FakePacs().listening() as pacs:
        desk = owing(tmp_path, 1, pacs_of(pacs), **SLOW)
        a_file_that_is_gone(desk)
        assert turn(desk) == 1
        task = task_of(desk)
        assert (task.state, task.last_error, task.attempts) == (TaskState.DUE, "FileNotFoundError", 1)
        assert task.due_at > datetime.now(UTC) + timedelta(seconds=20)
        grow_old(desk)
        turn(desk)
    assert pacs.attempts == []
    (told,) = waiting(desk.ledger)
    assert told.reason == "given up after 1 h: FileNotFoundError"
    assert account(desk.ledger, desk.spool).balanced


@pytest.mark.parametrize("fault", [MemoryError("ROENTGEN^ANNA"), AttributeError("ROENTGEN^ANNA")])
def test_a_call_that_raises_anything_is_put_back_without_its_text(tmp_path: Path, fault: Exception) -> None:
    """A MemoryError that reaches Celery ends its whole worker. Red without the same, or with `str(error)`."""
    with FakePacs().listening() as pacs:
        desk = owing(tmp_path, 1, pacs_of(pacs), **SLOW)
        with patch.object(delivery, "send", side_effect=fault):
            turn(desk)
        assert task_of(desk).last_error == type(fault).__name__
        turn(desk, datetime.now(UTC) + HOUR)
    assert len(pacs.stored) == 1


def test_a_request_for_commitment_that_raises_anything_is_put_back_and_ended_in_time(tmp_path: Path) -> None:
    """Red without the `except Exception` in `commitment.commit_leased`."""
    with Archive().listening() as pacs, patch.object(commitment, "request_commitment", side_effect=MemoryError):
        desk = owing(tmp_path, 1, pacs_of(pacs, commitment="required"), **SLOW)
        assert (turn(desk), turn(desk)) == (1, 1)
        task = task_of(desk, Work.COMMIT)
        assert (task.state, task.last_error) == (TaskState.DUE, "MemoryError")
        grow_old(desk)
        turn(desk)
    assert task_of(desk, Work.COMMIT).state == TaskState.DONE
    (line,) = round_lines(desk.ledger)
    assert (line.state, line.deliveries) == ("finished", {"fake": "1 not committed"})


def test_a_delivery_that_kills_its_worker_each_time_is_given_up_without_another_call(tmp_path: Path) -> None:
    """Red without the look at `cut_short` in `peers.peer_of`."""
    with FakePacs().listening() as pacs:
        desk = owing(tmp_path, 1, pacs_of(pacs), **SLOW)
        grow_old(desk)
        die_under_it(desk, Work.DELIVER)
        turn(desk)
    assert pacs.attempts == []
    (told,) = waiting(desk.ledger)
    assert told.reason == "given up after 1 h: its worker was stopped"


def test_a_commitment_that_kills_its_worker_each_time_is_ended_without_another_call(tmp_path: Path) -> None:
    """Red without the same."""
    with Archive().listening() as pacs, patch.object(commitment, "request_commitment") as called:
        desk = owing(tmp_path, 1, pacs_of(pacs, commitment="required"), **SLOW)
        turn(desk)
        grow_old(desk)
        die_under_it(desk, Work.COMMIT)
        turn(desk)
    called.assert_not_called()
    (line,) = round_lines(desk.ledger)
    assert (line.state, line.deliveries) == ("finished", {"fake": "1 not committed"})


def test_what_is_old_because_the_node_was_off_is_tried_before_it_is_given_up(tmp_path: Path) -> None:
    """Red when all that is older than `give_up` is given up before the call."""
    with FakePacs().listening() as pacs:
        desk = owing(tmp_path, 1, pacs_of(pacs), **SLOW)
        grow_old(desk)
        turn(desk)
    assert len(pacs.stored) == 1


def test_a_rejection_note_that_cannot_be_made_waits_its_turn_however_old(tmp_path: Path) -> None:
    """Red when such a delivery is given up: owing a note, it would be due again that very moment, for ever."""
    with FakePacs().listening() as pacs:
        desk = owing(tmp_path, 1, pacs_of(pacs), **SLOW)
        turn(desk)
        withdrawals.withdraw(desk.ledger, str(task_of(desk).round_key), "wrong patient", datetime.now(UTC))
        grow_old(desk)
        with patch.object(rejection, "_keep", side_effect=MemoryError):
            turn(desk)
            task = task_of(desk)
            assert (task.state, task.last_error) == (TaskState.DUE, "MemoryError")
            assert turn(desk) == 0


def test_a_probe_that_raises_makes_room_for_another(tmp_path: Path) -> None:
    """Red without `not_called` in `peers.unforeseen`: nothing would be tried until the probe's lease had ended."""
    back = FakePacs(port=free_ports(1)[0])
    desk = owing(tmp_path, 4, pacs_of(back), **SLOW | {"give_up_after_h": 72.0})
    while turn(desk):
        pass
    (away,) = circuits.opened(desk.ledger)
    with back.listening(back.port):
        with patch.object(delivery, "send", side_effect=MemoryError):
            assert turn(desk, away.next_try) == 1
        assert turn(desk, away.next_try) == 1
    assert len(back.stored) == 1


def away_for(calls: int) -> Callable[..., None]:
    """`parcels.note_fate` of a ledger that does not answer so many times."""
    note_fate, left = parcels.note_fate, iter(range(calls))

    def noted(*given: object, **named: object) -> None:
        if next(left, None) is not None:
            raise LedgerUnavailable("the ledger does not answer: made up")
        note_fate(*given, **named)  # type: ignore[arg-type]  # passed on as they came

    return noted


def test_an_answer_is_written_down_once_the_ledger_is_back_and_the_object_not_sent_again(tmp_path: Path) -> None:
    """Red without the loop in `delivery._note`."""
    with FakePacs().listening() as pacs, patch.object(delivery, "NOTE_AGAIN_S", 0.0):
        desk = owing(tmp_path, 1, pacs_of(pacs), **SLOW)
        with patch.object(parcels, "note_fate", away_for(3)):
            turn(desk)
        turn(desk, datetime.now(UTC) + HOUR)
    assert len(pacs.attempts) == 1
    (line,) = round_lines(desk.ledger)
    assert (line.state, line.deliveries) == ("finished", {"fake": "1 accepted"})


def test_a_ledger_that_stays_away_until_the_lease_ends_leaves_the_task_to_the_next(tmp_path: Path) -> None:
    """Red when `_note` does not look at `lease.until`: the worker would hang there without a lease."""
    with FakePacs().listening() as pacs, patch.object(delivery, "NOTE_AGAIN_S", 0.0):
        desk = owing(tmp_path, 1, pacs_of(pacs), **SLOW | {"give_up_after_h": 72.0})
        grow_old(desk)
        with patch.object(parcels, "note_fate", away_for(3)):
            turn(desk, datetime.now(UTC) - HOUR)
        assert task_of(desk).last_error == "LedgerUnavailable"
