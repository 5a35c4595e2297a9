"""replay: each study of a plan ends with one verdict, whatever its source does and wherever a run is cut off."""

import threading
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from cxrnode.complete import close_whole
from cxrnode.errors import LedgerUnavailable, PeerRefused, PeerUnavailable, SpoolFull, Unreadable
from cxrnode.headers.routing import Choice
from cxrnode.ledger import planned, quarantine, replays
from cxrnode.ledger.planned import Hold, Known
from cxrnode.ledger.replaytables import Step
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import Lane, State
from cxrnode.ledger.timeline import timeline
from cxrnode.plans.plan import Entry, Verdict
from cxrnode.replay.source import Fetched
from cxrnode.retention import purge
from tests.desks import QUIET_S, receive
from tests.fakes import FakeModel, FakePacs
from tests.replaying import OTHER, T0, TURN, Shelf, asked, begun, film, finish, lanes, read_and_send, reports
from workers.desk import Desk

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def test_every_study_has_the_verdict_that_it_deserves_and_they_sum_to_the_plan(
    desk: Desk, shelf: Shelf, pacs: FakePacs
) -> None:
    read, twice = film(), film()
    entries = {
        "read": shelf.put(read),
        "not a chest": shelf.put(film(BodyPartExamined="FOOT")),
        "refused": shelf.put(film(PatientID="")),
        "gone": Entry(study="1.2.3"),
        "came at the second time": shelf.put(twice, faults=(PeerUnavailable("no answer"),)),
        "refused by its source": shelf.put(film(), faults=(PeerRefused("0xC001", 0xC001),) * 3),
        "never answers": shelf.put(film(), faults=(PeerUnavailable("no answer"),) * 3),
        "known to be wrong": Entry(verdict=Verdict.FAILED, reason="line 7 names no study"),
    }
    replay = asked(desk, *entries.values())
    rows = finish(shelf, replay, begun(shelf, replay))

    assert {name: rows[entry.study].verdict for name, entry in entries.items()} == {
        "read": Verdict.ANALYSED,
        "not a chest": Verdict.NOT_APPLICABLE,
        "refused": Verdict.REFUSED,
        "gone": Verdict.NOT_FOUND,
        "came at the second time": Verdict.ANALYSED,
        "refused by its source": Verdict.FAILED,
        "never answers": Verdict.FAILED,
        "known to be wrong": Verdict.FAILED,
    }
    row = rows[read.StudyInstanceUID]
    assert (row.probability, row.model, row.instances, row.delivered) == (0.9, "made-up 1", 1, "sent")
    assert "PatientID" in rows[entries["refused"].study].reason
    assert rows[entries["never answers"].study].reason == "Not fetched: no answer"
    assert planned.steps(desk.ledger, replay.key) == {Step.DONE: len(entries)}
    assert planned.verdicts(desk.ledger, replay.key).total() == len(entries)
    assert set(reports(pacs)) == {read.StudyInstanceUID, twice.StudyInstanceUID, entries["refused"].study}
    assert set(lanes(desk)) == {Lane.REPLAY}


def test_a_second_run_reads_and_sends_nothing_and_gives_the_same_verdicts(
    desk: Desk, shelf: Shelf, pacs: FakePacs
) -> None:
    """Red without `_read_before` in `claim`."""
    entries = [shelf.put(film()) for _ in range(3)]
    first = finish(shelf, replay := asked(desk, *entries), begun(shelf, replay))
    sent = len(pacs.attempts)
    run = begun(shelf, replay := asked(desk, *entries))
    second = finish(shelf, replay, run, at=T0 + HOUR)

    assert {study: (row.verdict, row.probability, row.round) for study, row in second.items()} == {
        study: (row.verdict, row.probability, row.round) for study, row in first.items()
    }
    assert (len(pacs.attempts), run.standing.read_before, set(shelf.fetched.values())) == (sent, 3, {1})


def test_again_by_the_same_card_sends_nothing_and_by_another_supersedes(
    desk: Desk, shelf: Shelf, pacs: FakePacs
) -> None:
    """Red when `_same_before` does not ask for the card, and when it is not asked at all."""
    entry = shelf.put(film())
    finish(shelf, replay := asked(desk, entry), begun(shelf, replay))
    finish(shelf, replay := asked(desk, entry, again=True), begun(shelf, replay), at=T0 + HOUR)
    assert reports(pacs) == {entry.study: 1}

    others = {Choice("other"): FakeModel([0.2], algorithm=OTHER)}
    rows = finish(
        shelf,
        replay := asked(desk, entry, model="other"),
        begun(shelf, replay, OTHER.digest),
        others,
        at=T0 + 2 * HOUR,
    )
    first, second = (one for one in pacs.stored if one.Modality == "SR")
    assert (rows[entry.study].probability, rows[entry.study].model) == (0.2, "other 2")
    predecessor = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_of_a_replay_that_sends_nothing_nothing_is_sent_and_what_is_live_stands(
    desk: Desk, shelf: Shelf, pacs: FakePacs
) -> None:
    """Red without `as_ordered`; and without `not_sent` in `_same_before`, in the account or in quarantine."""
    live, old = film(), film()
    receive(desk, live)
    read_and_send(desk, None, T0 + HOUR)
    sent = len(pacs.attempts)
    entries = [shelf.put(live), shelf.put(old)]
    others = {Choice("other"): FakeModel([0.1, 0.2], algorithm=OTHER)}
    rows = finish(
        shelf,
        replay := asked(desk, *entries, model="other", send=False),
        begun(shelf, replay, OTHER.digest),
        others,
        at=T0 + 2 * HOUR,
    )

    assert sorted(row.probability or 1 for row in rows.values()) == [0.1, 0.2]
    assert {row.delivered for row in rows.values()} == {"not sent"}
    (read,) = (event for event in timeline(desk.ledger, str(old.StudyInstanceUID)).events if event.what == "analysed")
    assert read.told == f"negative; other 2; 1 attempt; for replay {replay.key[:8]}, nothing is sent"
    assert len(pacs.attempts) == sent
    kept = [line for line in round_lines(desk.ledger) if line.model == "other 2"]
    assert [line.objects > 0 for line in kept] == [True, True]
    assert quarantine.waiting(desk.ledger) == []

    receive(desk, film(StudyInstanceUID=old.StudyInstanceUID), at=T0 + 3 * HOUR)
    receive(desk, film(StudyInstanceUID=live.StudyInstanceUID, ViewPosition="LL"), at=T0 + 3 * HOUR)
    read_and_send(desk, None, T0 + 4 * HOUR)
    assert reports(pacs) == {live.StudyInstanceUID: 1, old.StudyInstanceUID: 1}


def test_a_study_of_which_not_all_comes_is_fetched_again_and_then_read_as_it_is(
    desk: Desk, shelf: Shelf, pacs: FakePacs
) -> None:
    first = film()
    second = film(StudyInstanceUID=first.StudyInstanceUID)
    half = [Fetched(sent=1, failed=1, reason="a sub-operation failed") for _ in range(3)]
    mended = shelf.put(first, second, faults=(half[0],))
    one = film()
    broken = shelf.put(one, film(StudyInstanceUID=one.StudyInstanceUID), faults=tuple(half))
    rows = finish(shelf, replay := asked(desk, mended, broken), begun(shelf, replay))

    assert (rows[mended.study].verdict, rows[mended.study].instances) == (Verdict.ANALYSED, 2)
    told = rows[broken.study]
    assert (told.verdict, told.instances, told.probability) == (Verdict.NOT_WHOLE, 1, 0.9)
    assert told.reason == "1 of 2 images came; read as it is"
    assert reports(pacs) == {mended.study: 1, broken.study: 1}
    assert (shelf.fetched[mended.study], shelf.fetched[broken.study]) == (2, 3)


def test_a_source_that_is_away_fails_no_study(desk: Desk, shelf: Shelf) -> None:
    """Red when `counts` is always true: a night without the archive would fail the plan."""
    shelf.is_there = False
    entries = [shelf.put(film(), faults=(PeerUnavailable("cannot be reached"),) * 90) for _ in range(2)]
    run = begun(shelf, replay := asked(desk, *entries))
    told = set()
    for minute in range(60):
        run.turn(T0 + minute * timedelta(minutes=1))
        told.add(run.standing.waits.partition(": ")[2])
    assert shelf.fetched.total() > 8
    assert told == {"cannot be reached", ""}
    shelf.is_there = True
    for faults in shelf.faults.values():
        faults.clear()

    rows = finish(shelf, replay, run, at=T0 + 4 * HOUR)
    assert {row.verdict for row in rows.values()} == {Verdict.ANALYSED}


def test_what_would_be_refused_for_every_study_stops_the_run_and_fails_none(desk: Desk, shelf: Shelf) -> None:
    entry = shelf.put(film(), faults=(PeerRefused("move destination unknown", 0xA801),))
    run = begun(shelf, replay := asked(desk, entry))
    with pytest.raises(PeerRefused, match="move destination unknown"):
        run.go(lambda *_: None, threading.Event())

    assert planned.steps(desk.ledger, replay.key) == {Step.WAITING: 1}
    rows = finish(shelf, replay, begun(shelf, replay), at=datetime.now(UTC))
    assert rows[entry.study].verdict is Verdict.ANALYSED


def test_a_full_disk_is_waited_for(desk: Desk, shelf: Shelf) -> None:
    entry = shelf.put(film(), faults=(SpoolFull("0.5 GB free"),) * 5)
    run = begun(shelf, replay := asked(desk, entry))
    run.turn(T0)
    run.turn(T0 + SECOND)
    assert "0.5 GB free" in run.standing.waits

    assert finish(shelf, replay, run, at=T0 + HOUR)[entry.study].verdict is Verdict.ANALYSED


@pytest.mark.parametrize("turns", range(5))
def test_a_run_that_is_cut_off_goes_on_where_it_was(desk: Desk, shelf: Shelf, pacs: FakePacs, turns: int) -> None:
    """Killed after any turn: nothing that was fetched whole is fetched again, nothing is sent twice."""
    entries = [shelf.put(film()) for _ in range(6)]
    run = begun(shelf, replay := asked(desk, *entries))
    for number in range(turns):
        run.turn(T0 + number * TURN)
        if number % 2:
            read_and_send(desk, None, T0 + number * TURN)
    in_hand = run.standing.steps[Step.FETCHING]

    rows = finish(shelf, replay, begun(shelf, replay), at=T0 + HOUR)
    assert [row.verdict for row in rows.values()] == [Verdict.ANALYSED] * 6
    assert shelf.fetched.total() == 6 + in_hand
    assert set(reports(pacs).values()) == {1}


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("name", ["claim", "claimed", "hold", "conclude", "put_back", "conclude_read", "steps"])
def test_a_ledger_that_goes_away_in_mid_turn_leaves_no_study_behind_and_doubles_none(
    desk: Desk, shelf: Shelf, pacs: FakePacs, monkeypatch: pytest.MonkeyPatch, name: str, *, written: bool
) -> None:
    """With what was asked of it written or not. Red without `_take_stock`, or where it leaves out one of the three."""
    entries = [shelf.put(film()) for _ in range(4)]
    failing = shelf.put(film(), faults=(PeerUnavailable("no answer"), PeerRefused("0xC001", 0xC001), Unreadable("cut")))
    asked_for, calls = getattr(planned, name), count()

    def ask(*arguments: object, **named: object) -> object:
        away = next(calls) in {1, 4}
        answer = asked_for(*arguments, **named) if written or not away else None
        if away:
            raise LedgerUnavailable("the ledger does not answer")
        return answer

    monkeypatch.setattr(planned, name, ask)
    run = begun(shelf, replay := asked(desk, *entries, failing))
    rows = finish(shelf, replay, run)

    assert [rows[entry.study].verdict for entry in entries] == [Verdict.ANALYSED] * 4
    assert rows[failing.study].verdict is Verdict.FAILED
    assert run.standing.steps == planned.steps(desk.ledger, replay.key)
    assert run.standing.verdicts == planned.verdicts(desk.ledger, replay.key)
    assert set(reports(pacs).values()) == {1}
    assert {row.round for row in rows.values()} == {1, None}


def test_what_arrives_while_a_study_is_fetched_waits_for_the_replay_and_what_comes_later_is_live(
    desk: Desk, shelf: Shelf, pacs: FakePacs
) -> None:
    """Red without `fetching` in `_extend_round` (sent to the PACS), and without `to_live` (never read)."""
    first = film()
    replay = asked(desk, Entry(study=str(first.StudyInstanceUID)), send=False)
    planned.claim(desk.ledger, replay.key, 1, T0, Hold(T0 + 60 * SECOND, "OLD"), Known((), sent=False))
    receive(desk, first, "OLD", at=T0 + SECOND)
    close_whole(desk.ledger, desk.spool, desk.settings, T0 + HOUR)
    assert timeline(desk.ledger, str(first.StudyInstanceUID)).events[-1].what == "waits until it was fetched"
    assert [(line.state, lane) for line, lane in zip(round_lines(desk.ledger), lanes(desk), strict=True)] == [
        (State.ARRIVING, Lane.REPLAY)
    ]

    receive(desk, film(StudyInstanceUID=first.StudyInstanceUID), at=T0 + HOUR)
    assert lanes(desk) == [Lane.LIVE]
    read_and_send(desk, None, T0 + 2 * HOUR)
    assert reports(pacs) == {first.StudyInstanceUID: 1}
    shelf.put(first)
    rows = finish(shelf, replay, begun(shelf, replay), at=T0 + 3 * HOUR)
    assert {row.verdict for row in rows.values()} == {Verdict.ANALYSED}
    assert reports(pacs) == {first.StudyInstanceUID: 1}


def test_a_study_that_is_arriving_live_is_left_alone_until_it_was_read(
    desk: Desk, shelf: Shelf, pacs: FakePacs
) -> None:
    """Red when `close` closes whatever is open: the live study would be read before it is whole."""
    first = film()
    receive(desk, first, at=T0)
    run = begun(shelf, replay := asked(desk, shelf.put(first), again=True))
    run.turn(T0)
    run.turn(T0 + SECOND)
    assert [line.state for line in round_lines(desk.ledger)] == [State.ARRIVING]

    rows = finish(shelf, replay, run, at=T0 + QUIET_S * SECOND)
    assert [row.round for row in rows.values()] == [2]
    assert reports(pacs) == {first.StudyInstanceUID: 1}


def test_purged_images_that_are_fetched_again_are_read_again(desk: Desk, shelf: Shelf) -> None:
    """Red without `restore` and without `came_again`."""
    first = film()
    receive(desk, first)
    read_and_send(desk, None, T0 + HOUR)
    purge(desk.ledger, desk.spool, 1.0, datetime.now(UTC) + 48 * HOUR)
    assert not list(desk.spool.root.rglob("image.dcm"))
    entry = shelf.put(first)
    rows = finish(shelf, replay := asked(desk, entry, again=True), begun(shelf, replay), at=T0 + 50 * HOUR)

    assert (rows[entry.study].verdict, rows[entry.study].instances) == (Verdict.ANALYSED, 1)


def test_a_paused_replay_begins_nothing(desk: Desk, shelf: Shelf) -> None:
    entry = shelf.put(film())
    run = begun(shelf, replay := asked(desk, entry))
    assert [one.key for one in replays.pause(desk.ledger, replay.key[:6], T0)] == [replay.key]
    run.turn(T0)
    assert (run.standing.waits, shelf.fetched.total()) == ("paused; `cxrnode resume` goes on", 0)

    replays.pause(desk.ledger, None, None)
    assert finish(shelf, replay, run)[entry.study].verdict is Verdict.ANALYSED
