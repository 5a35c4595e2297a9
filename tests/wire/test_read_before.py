"""What counts as read before: results that stand, and that somebody has or nobody wanted; all else is read again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cxrnode.headers.routing import Choice
from cxrnode.ledger import withdrawals
from cxrnode.plans.plan import Entry, Verdict
from cxrnode.plans.verdicts import Row
from cxrnode.replay.source import Fetched
from tests.desks import open_desk
from tests.fakes import FakeModel, FakePacs
from tests.replaying import OTHER, T0, Shelf, asked, begun, film, finish, read_and_send, reports
from workers.desk import Desk

HOUR = timedelta(hours=1)


def replayed(shelf: Shelf, entry: Entry, hour: int, *, send: bool = True, again: bool = False) -> Row:
    """The verdict of a replay of one study, asked for anew."""
    replay = asked(shelf.desk, entry, send=send, again=again)
    return finish(shelf, replay, begun(shelf, replay), at=T0 + hour * HOUR)[entry.study]


def withdraw(desk: Desk, entry: Entry) -> None:
    for key in withdrawals.chosen(desk.ledger, study=entry.study):
        withdrawals.withdraw(desk.ledger, key, "wrong", datetime.now(UTC))
    read_and_send(desk, None, T0 + HOUR)


def test_what_was_withdrawn_since_is_read_again(desk: Desk, shelf: Shelf, pacs: FakePacs) -> None:
    """Red without `_withdrawn`; the second time too, where a round stands on one whose results were withdrawn."""
    entry = shelf.put(film())
    replayed(shelf, entry, 0)
    replayed(shelf, entry, 1, again=True)  # stands on the first
    withdraw(desk, entry)

    row = replayed(shelf, entry, 10)
    assert (row.verdict, row.round, shelf.fetched[entry.study]) == (Verdict.ANALYSED, 3, 3)
    assert reports(pacs) == {entry.study: 2}
    assert "Read before, in round 3" in replayed(shelf, entry, 20).reason


def test_what_was_not_whole_is_read_again_once_it_is(shelf: Shelf, pacs: FakePacs) -> None:
    """Red without `_not_whole`. Its results said that it was not whole: the later ones supersede them."""
    first = film()
    lateral = film(StudyInstanceUID=first.StudyInstanceUID, ViewPosition="LL")
    entry = shelf.put(first, lateral, faults=tuple(Fetched(sent=1, failed=1, reason="away") for _ in range(3)))
    assert replayed(shelf, entry, 0).verdict is Verdict.NOT_WHOLE

    row = replayed(shelf, entry, 10)
    assert (row.verdict, row.round, row.instances) == (Verdict.ANALYSED, 2, 2)
    assert reports(pacs) == {entry.study: 2}
    assert replayed(shelf, entry, 20).round == 2
    assert shelf.fetched[entry.study] == 4


def test_what_no_destination_has_taken_is_read_again_and_sent(shelf: Shelf, pacs: FakePacs) -> None:
    """Red without `_not_taken`."""
    entry = shelf.put(film())
    pacs.statuses = [0xA900] * 20
    assert replayed(shelf, entry, 0).delivered == "refused"
    pacs.statuses = []
    kept = replayed(shelf, entry, 1, send=False)
    assert "Read before, in round 1" in kept.reason

    row = replayed(shelf, entry, 2)
    assert (row.round, row.delivered, shelf.fetched[entry.study]) == (2, "sent", 2)
    assert reports(pacs) == {entry.study: 1}
    assert replayed(shelf, entry, 3).round == 2


def test_what_stands_on_results_that_were_taken_was_read_before(shelf: Shelf, pacs: FakePacs) -> None:
    entry = shelf.put(film())
    replayed(shelf, entry, 0)
    replayed(shelf, entry, 1, again=True)

    assert "Read before, in round 2" in replayed(shelf, entry, 2).reason
    assert (shelf.fetched[entry.study], reports(pacs)) == (2, {entry.study: 1})


def test_what_no_destination_wanted_was_read_before(tmp_path: Path, pacs: FakePacs) -> None:
    """Red when a round without any delivery counts as not taken."""
    desk = open_desk(tmp_path, [pacs.destination(commitment="off", send={"negative": ["report"], "positive": []})])
    shelf = Shelf(desk)
    entry = shelf.put(film())
    assert (replayed(shelf, entry, 0).outcome, reports(pacs)) == ("positive", {})

    assert "Read before, in round 1" in replayed(shelf, entry, 1).reason
    desk.ledger.close()


def test_another_model_s_results_are_left_standing(shelf: Shelf, pacs: FakePacs) -> None:
    """What is done by this model is skipped."""
    entry = shelf.put(film())
    pacs.rejects = [(1, 1, 1)] * 500  # nothing arrives
    replay = asked(shelf.desk, entry)
    first = begun(shelf, replay)
    for number in range(4):
        first.turn(T0 + number * timedelta(seconds=20))
        read_and_send(shelf.desk, None, T0 + number * timedelta(seconds=20))
    replay = asked(shelf.desk, entry, model="other")
    other = begun(shelf, replay, OTHER.digest)
    for number in range(4):
        other.turn(T0 + HOUR + number * timedelta(seconds=20))
        models = {Choice("other"): FakeModel([0.2], algorithm=OTHER)}
        read_and_send(shelf.desk, models, T0 + HOUR + number * timedelta(seconds=20))

    assert "Read before, in round 1" in replayed(shelf, entry, 2).reason
