"""Whose an image is: a replay's that it has fetched, and live what comes by itself, whatever replays do meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest
from pydicom.dataset import FileDataset

from cxrnode.complete import close_whole, sweep
from cxrnode.errors import PeerUnavailable
from cxrnode.headers.routing import Choice
from cxrnode.ledger import arrivals, outcomes, planned, quarantine, work
from cxrnode.ledger.planned import Hold, Known
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import Lane, State
from cxrnode.plans.plan import Entry, Verdict
from cxrnode.receipt import MOVED, Receipt
from cxrnode.replay.source import Fetched
from tests.builders import remade
from tests.desks import QUIET_S, read_all, receive
from tests.fakes import FakeModel, FakePacs
from tests.replaying import OTHER, T0, TURN, Shelf, asked, begun, film, finish, lanes, read_and_send, reports
from workers.desk import Desk

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@pytest.fixture
def shelf(desk: Desk) -> "Mover":
    return Mover(desk)


class Mover(Shelf):
    """An archive that sends to the receiver, as it was told to; `tells`: each image says that it was asked for."""

    sender = "PACS"
    tells = True

    def sends(self, *films: FileDataset, **how: object) -> None:
        for one in films:
            receive(self.desk, one, "PACS", at=self.now, fetched=MOVED if self.tells else "", **how)  # type: ignore[arg-type]

    now = T0

    def fetch(self, entry: Entry, kept: list[Receipt]) -> Fetched:
        self.fetched[entry.study] += 1
        fault = self.faults[entry.study].pop(0) if self.faults.get(entry.study) else None
        films = self.films[entry.study]
        self.sends(*films[:1] if fault else films)
        if isinstance(fault, Exception):
            raise fault
        return fault or Fetched(sent=len(films), to_receiver=True)


def both() -> dict[Choice, FakeModel]:
    """The live model, and the one of the replay."""
    return {Choice("other"): FakeModel([0.2] * 9, algorithm=OTHER), Choice("pneumonia-efficientnet-lite0"): FakeModel()}


def states(desk: Desk) -> list[str]:
    return [line.state for line in round_lines(desk.ledger)]


def wait(desk: Desk, first_hour: int = 1) -> None:
    """The node alone: studies are closed, read and sent."""
    for hour in range(first_hour, first_hour + 3):
        close_whole(desk.ledger, desk.spool, desk.settings, T0 + hour * HOUR)
        read_and_send(desk, both(), T0 + hour * HOUR)


@pytest.mark.parametrize("tells", [True, False])
def test_a_study_that_a_modality_sends_while_it_is_fetched_is_reported(
    desk: Desk, shelf: Mover, pacs: FakePacs, *, tells: bool
) -> None:
    """Red without `_heard`: a duplicate of what a replay has that sends nothing would never be reported."""
    shelf.tells = tells
    one = film()
    replay = asked(desk, shelf.put(one), model="other", send=False)
    run = begun(shelf, replay, OTHER.digest)
    run.turn(T0)
    receive(desk, one, at=T0 + SECOND)
    rows = finish(shelf, replay, run, both(), at=T0 + TURN)
    wait(desk)

    assert {row.verdict for row in rows.values()} == {Verdict.ANALYSED}
    assert reports(pacs) == {one.StudyInstanceUID: 1}


def test_a_live_image_that_the_ledger_learns_of_late_is_live(desk: Desk, shelf: Mover, pacs: FakePacs) -> None:
    one = film()
    receive(desk, one, at=T0 - HOUR, ledger_away=True)
    begun(shelf, asked(desk, shelf.put(film(StudyInstanceUID=one.StudyInstanceUID)), send=False)).turn(T0)
    sweep(desk.spool, desk.ledger)
    wait(desk)

    assert reports(pacs) == {one.StudyInstanceUID: 1}


def test_what_a_replay_had_sent_is_its_own_however_late_the_ledger_learns_of_it(
    desk: Desk, shelf: Mover, pacs: FakePacs
) -> None:
    """Red when `owner` asks for the hold of what says that it was asked for."""
    one = film()
    replay = asked(desk, shelf.put(one), send=False)
    planned.claim(desk.ledger, replay.key, 1, T0, Hold(T0 + 120 * SECOND, "PACS"), Known((), sent=False))
    receive(desk, one, "PACS", at=T0 + HOUR, ledger_away=True, fetched=MOVED)
    sweep(desk.spool, desk.ledger)
    wait(desk)

    assert (lanes(desk), states(desk), reports(pacs)) == ([Lane.REPLAY], [State.ARRIVING], {})


def test_what_an_archive_still_sends_after_its_answer_is_the_replays(desk: Desk, shelf: Mover, pacs: FakePacs) -> None:
    """And is read, a round more. Red without `close_late`: it would wait for ever."""
    one = film()
    late = film(StudyInstanceUID=one.StudyInstanceUID)
    replay = asked(desk, shelf.put(one), film_entry := shelf.put(film()), model="other", send=False)
    shelf.faults[film_entry.study] = [PeerUnavailable("no answer")] * 2
    run = begun(shelf, replay, OTHER.digest)
    run.turn(T0)
    run.turn(T0 + SECOND)
    shelf.now = T0 + 2 * SECOND
    shelf.sends(late)
    finish(shelf, replay, run, both(), at=T0 + TURN)
    wait(desk)

    mine = [line for line in round_lines(desk.ledger) if line.instances == 2]
    assert [(line.state, line.model) for line in mine] == [(State.FINISHED, "other 2")]
    assert reports(pacs) == {}


def test_an_archive_that_tells_no_counts_is_believed_what_it_sends(desk: Desk, shelf: Mover) -> None:
    one, gone = film(), film()
    entries = [
        shelf.put(one, faults=(Fetched(absent=True, to_receiver=True),)),
        Entry(study=str(gone.StudyInstanceUID)),
    ]
    shelf.films[str(gone.StudyInstanceUID)] = []
    shelf.faults[str(gone.StudyInstanceUID)] = [Fetched(absent=True, to_receiver=True, reason="none")]
    rows = finish(shelf, replay := asked(desk, *entries), begun(shelf, replay), at=datetime.now(UTC))

    assert [rows[entry.study].verdict for entry in entries] == [Verdict.ANALYSED, Verdict.NOT_FOUND]


def test_what_came_of_a_study_that_breaks_off_each_time_is_read_as_it_is(
    desk: Desk, shelf: Mover, pacs: FakePacs
) -> None:
    """Red without `_broken_off`: FAILED, and a round that arrives for ever."""
    one = film()
    entry = shelf.put(one, film(StudyInstanceUID=one.StudyInstanceUID), faults=(PeerUnavailable("broke off"),) * 3)
    rows = finish(shelf, replay := asked(desk, entry), begun(shelf, replay))

    assert (rows[entry.study].verdict, rows[entry.study].instances) == (Verdict.NOT_WHOLE, 1)
    assert states(desk) == [State.FINISHED]
    assert reports(pacs) == {entry.study: 1}
    (report,) = (sent for sent in pacs.stored if sent.Modality == "SR")
    assert "broke off before all of it had come" in report.to_json()


def test_what_this_process_kept_before_an_error_is_never_read_as_live(desk: Desk, pacs: FakePacs) -> None:
    """By C-GET, of a replay that sends nothing. Red when a receipt does not say who fetched it."""

    class Getter(Shelf):
        def fetch(self, entry: Entry, kept: list[Receipt]) -> Fetched:
            super().fetch(entry, kept)
            kept.clear()  # killed before it told anybody
            raise PeerUnavailable("ended the association")

    shelf = Getter(desk)
    entry = shelf.put(film())
    rows = finish(shelf, replay := asked(desk, entry, send=False), begun(shelf, replay))
    assert rows[entry.study].verdict is Verdict.FAILED
    sweep(desk.spool, desk.ledger)
    wait(desk)

    assert (lanes(desk), reports(pacs)) == ([Lane.REPLAY], {})


def test_a_round_that_a_killed_replay_left_is_taken_over_by_the_next(desk: Desk, shelf: Mover, pacs: FakePacs) -> None:
    """Red without `hand_over`: the second would wait for ever. Before the hold is over it waits."""
    one = film()
    first = asked(desk, shelf.put(one), send=False)
    planned.claim(desk.ledger, first.key, 1, T0, Hold(T0 + HOUR, "PACS"), Known((), sent=False))
    shelf.now = T0 + SECOND
    shelf.sends(one)
    second = asked(desk, Entry(study=str(one.StudyInstanceUID)))
    run = begun(shelf, second)
    for minute in range(50):
        run.turn(T0 + minute * 60 * SECOND)
    assert states(desk) == [State.ARRIVING]

    rows = finish(shelf, second, run, at=T0 + 2 * HOUR)
    assert {row.verdict for row in rows.values()} == {Verdict.ANALYSED}
    assert reports(pacs) == {one.StudyInstanceUID: 1}


def test_a_copy_with_another_name_that_a_silent_replay_fetches_silences_no_live_result(
    desk: Desk, shelf: Mover, pacs: FakePacs
) -> None:
    """The PACS has reconciled the patient meanwhile. Red when `correct` or `outdated` heeds what is not sent."""
    one = film()
    for analysed_first in (True, False):
        one = film()
        receive(desk, one)
        arrivals.close_settled(desk.ledger, QUIET_S, T0 + HOUR)
        if analysed_first:
            read_all(desk, both(), now=T0 + HOUR)
        theirs = film(
            StudyInstanceUID=one.StudyInstanceUID, SOPInstanceUID=one.SOPInstanceUID, PatientName="Right^Name"
        )
        replay = asked(desk, shelf.put(theirs), model="other", send=False)
        shelf.now = T0 + HOUR
        finish(shelf, replay, begun(shelf, replay, OTHER.digest), both(), at=T0 + HOUR)
        wait(desk)
        assert reports(pacs)[one.StudyInstanceUID] == 1


def test_a_true_correction_is_not_lost_in_a_silent_round_that_waits_to_be_read(
    desk: Desk, shelf: Mover, pacs: FakePacs
) -> None:
    one = film()
    receive(desk, one)
    arrivals.close_settled(desk.ledger, QUIET_S, T0 + HOUR)
    read_all(desk, both(), now=T0 + HOUR)
    replay = asked(desk, shelf.put(one), model="other", send=False)
    run = begun(shelf, replay, OTHER.digest)
    run.turn(T0 + HOUR)
    run.turn(T0 + HOUR + SECOND)
    one.PatientName = "Right^Name"
    receive(desk, one, at=T0 + HOUR + 2 * SECOND)
    finish(shelf, replay, run, both(), at=T0 + HOUR + TURN)
    wait(desk)

    (report,) = (sent for sent in pacs.stored if sent.Modality == "SR")
    assert report.PatientName == "Right^Name"


def test_a_live_analysis_that_is_tried_again_is_not_given_to_a_silent_replay(
    desk: Desk, shelf: Mover, pacs: FakePacs
) -> None:
    """Red when `read_again` takes whatever is arriving."""
    one = film()
    receive(desk, one)
    arrivals.close_settled(desk.ledger, QUIET_S, T0 + HOUR)
    (task,) = work.due(desk.ledger, T0 + HOUR, {})
    (held,) = work.lease(desk.ledger, task.task_key, T0 + HOUR, 600)
    outcomes.abandon(desk.ledger, held, "a fault", T0 + HOUR)
    replay = asked(desk, Entry(study=str(one.StudyInstanceUID)), model="other", send=False)
    planned.claim(desk.ledger, replay.key, 1, T0, Hold(T0 + HOUR, "PACS"), Known((), sent=False))
    shelf.now = T0 + SECOND
    shelf.sends(film(StudyInstanceUID=one.StudyInstanceUID))
    (waiting,) = quarantine.waiting(desk.ledger)
    assert not quarantine.reopen(desk.ledger, waiting, T0 + HOUR)

    shelf.put(one)
    finish(shelf, replay, begun(shelf, replay), both(), at=T0 + 2 * HOUR)
    (waiting,) = quarantine.waiting(desk.ledger)
    assert quarantine.reopen(desk.ledger, waiting, T0 + 3 * HOUR)
    wait(desk, 4)
    assert reports(pacs) == {one.StudyInstanceUID: 1}


def test_a_correction_after_delivery_is_noted_also_where_a_silent_round_came_last(
    desk: Desk, shelf: Mover, pacs: FakePacs
) -> None:
    """Red when `correct` takes a round of which nothing is sent for the latest: the study would be reported anew."""
    one = film()
    receive(desk, one)
    wait(desk)
    replay = asked(desk, shelf.put(one), model="other", send=False)
    finish(shelf, replay, begun(shelf, replay, OTHER.digest), both(), at=T0 + 5 * HOUR)
    receive(desk, remade(one, PatientName="Right^Name"), at=T0 + 6 * HOUR)
    wait(desk, 7)

    assert reports(pacs) == {one.StudyInstanceUID: 1}
    assert [line.changed for line in round_lines(desk.ledger) if line.round_number == 1] == [("PatientName",)]
