"""Images that retention has purged and a replay fetches anew: read again, whatever became of them in the archive."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pydicom.dataset import FileDataset

from cxrnode.ledger import arrivals, withdrawals
from cxrnode.plans.plan import Verdict
from cxrnode.receipt import MOVED
from cxrnode.receiving.intake import keep, receipt_of
from cxrnode.replay.source import Fetched
from cxrnode.retention import purge
from tests.desks import receive
from tests.nodes import saved
from tests.replaying import T0, Shelf, asked, begun, film, finish, read_and_send
from workers.desk import Desk

HOUR = timedelta(hours=1)


@pytest.fixture
def late() -> datetime:
    return datetime.now(UTC) + 48 * HOUR


@pytest.fixture
def gone(desk: Desk, late: datetime) -> FileDataset:
    """A film that was read, delivered and purged."""
    first = film()
    receive(desk, first)
    read_and_send(desk, None, T0 + HOUR)
    purge(desk.ledger, desk.spool, 1.0, late)
    assert not list(desk.spool.root.rglob("image.dcm"))
    return first


def move(desk: Desk, one: FileDataset, at: datetime) -> None:
    """The archive sends it to the receiver, as it was asked to."""
    content = saved(one, desk.settings.node.state_dir / "moved.dcm").read_bytes()
    arrivals.note(desk.ledger, [keep(desk.spool, content, receipt_of(desk.spool, content, "PACS", MOVED, at))])


CHANGES: dict[str, Callable[[FileDataset], object]] = {
    "nothing": lambda _: None,
    "by the archive": lambda one: setattr(one, "RetrieveAETitle", "PACS"),
    "the patient's name": lambda one: setattr(one, "PatientName", "Right^Name"),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_purged_film_is_read_whatever_was_changed_meanwhile(
    desk: Desk, shelf: Shelf, gone: FileDataset, changed: str
) -> None:
    """Red when other content than the first copy's is kept aside, or as a correction: there is nothing to read then."""
    CHANGES[changed](gone)
    entry = shelf.put(gone)
    rows = finish(shelf, replay := asked(desk, entry, again=True), begun(shelf, replay), at=T0 + 50 * HOUR)

    assert (rows[entry.study].verdict, rows[entry.study].instances) == (Verdict.ANALYSED, 1)
    assert len(list(desk.spool.root.rglob("image.dcm"))) == 1


def test_a_purged_film_that_the_archive_sends_is_waited_for(
    desk: Desk, shelf: Shelf, gone: FileDataset, late: datetime
) -> None:
    """Red when `came` counts what was purged: the study would be closed before the ledger knows of it."""
    entry = shelf.put(gone)
    shelf.fetch = lambda _, __: Fetched(sent=1, to_receiver=True)  # type: ignore[method-assign]  what a C-MOVE says
    run = begun(shelf, replay := asked(desk, entry, again=True))
    for second in range(3):
        run.turn(late + timedelta(seconds=second))
    move(desk, gone, late + timedelta(seconds=3))
    rows = finish(shelf, replay, run, at=late + timedelta(seconds=4))

    assert rows[entry.study].verdict is Verdict.ANALYSED


def test_what_was_fetched_again_is_not_purged_before_it_is_read(
    desk: Desk, shelf: Shelf, gone: FileDataset, late: datetime
) -> None:
    """Red without `_fetched` in `expired`."""
    entry = shelf.put(gone)

    def fetch(_: object, __: object) -> Fetched:
        move(desk, gone, late)
        purge(desk.ledger, desk.spool, 1.0, late + timedelta(seconds=1))  # the receiver's minute is over
        return Fetched(sent=1, to_receiver=True)

    shelf.fetch = fetch  # type: ignore[method-assign]  a source with a receiver beside it
    rows = finish(shelf, replay := asked(desk, entry, again=True), begun(shelf, replay), at=late)

    assert rows[entry.study].verdict is Verdict.ANALYSED


def test_the_old_results_of_what_was_fetched_again_are_still_purged(
    desk: Desk, shelf: Shelf, gone: FileDataset
) -> None:
    """Red when `came_again` deletes the purge: a rejection note would be due of results that are gone."""
    entry = shelf.put(gone)
    finish(shelf, replay := asked(desk, entry, again=True, send=False), begun(shelf, replay), at=T0 + 50 * HOUR)

    told = withdrawals.chosen(desk.ledger, study=entry.study)
    assert [one.purged for one in told.values() if one.taken] == [True]
