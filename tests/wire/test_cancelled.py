"""Results cancelled while they are being sent, on real associations: what was taken is taken, nothing else goes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset
from pynetdicom import AE, evt

from cxrnode.ledger import work
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import Work
from cxrnode.ledger.withdrawals import chosen, withdraw
from cxrnode.ledger.work import Lease
from tests.builders import make_cxr, remade
from tests.desks import HOUR, T0, open_desk, read_all, receive
from tests.fakes import ALGORITHM, FakePacs
from workers.commitment import commit_leased
from workers.delivery import deliver_leased
from workers.desk import Desk

LATER = datetime.now(UTC) + timedelta(days=1)


@dataclass
class Interrupted(FakePacs):
    """A PACS while whose storing something happens: `meanwhile` is called before each answer."""

    meanwhile: Callable[[], None] = field(default=lambda: None)
    when_called: Callable[[], None] = field(default=lambda: None)

    def _offer_more(self, ae: AE) -> Sequence[evt.EventHandlerType]:
        return [(evt.EVT_REQUESTED, lambda _event: self.when_called())]

    def _on_c_store(self, event: evt.Event) -> int:
        self.meanwhile()
        return super()._on_c_store(event)


@pytest.fixture
def pacs() -> Iterator[Interrupted]:
    with Interrupted().listening() as listening:
        yield listening


@pytest.fixture
def film() -> FileDataset:
    return make_cxr()


@pytest.fixture
def desk(tmp_path: Path, pacs: Interrupted, film: FileDataset) -> Iterator[Desk]:
    """A study that was read and is due at the PACS."""
    made = open_desk(tmp_path, [pacs.destination()])
    receive(made, film)
    read_all(made)
    yield made
    made.ledger.close()


def deliver(desk: Desk) -> None:
    """Everything that is due, once; then the storage commitment of what was accepted."""
    for task in work.due(desk.ledger, LATER, {}):
        for held in work.lease(desk.ledger, task.task_key, LATER, 600):
            deliver_leased(desk, held)
    for task in work.due(desk.ledger, LATER, {}):
        if task.work is Work.COMMIT:
            for held in work.lease(desk.ledger, task.task_key, LATER, 600):
                commit_leased(desk, held, LATER)


def withdraw_all(desk: Desk) -> None:
    for key in chosen(desk.ledger, model=ALGORITHM.name):
        withdraw(desk.ledger, key, "found bad", datetime.now(UTC))


def test_only_what_was_under_way_arrives_and_the_note_rejects_just_that(desk: Desk, pacs: Interrupted) -> None:
    pacs.meanwhile = lambda: withdraw_all(desk)

    deliver(desk)
    assert [line.deliveries for line in round_lines(desk.ledger)] == [{"fake": "1 accepted, 1 withdrawn"}]
    deliver(desk)

    report, note = pacs.stored
    (item,) = (one for one in note.ContentSequence if "ReferencedSOPSequence" in one)
    assert item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == report.SOPInstanceUID
    (line,) = round_lines(desk.ledger)
    assert (line.state, line.notes) == ("finished", {"fake": "1 accepted"})


def test_a_worker_that_was_paused_past_its_lease_sends_nothing(desk: Desk, pacs: Interrupted) -> None:
    """Another took the delivery over after it had called the PACS. Red without `require` in `parcels.still_due`."""
    (task,) = work.due(desk.ledger, LATER, {})
    (paused,) = work.lease(desk.ledger, task.task_key, LATER, 600)
    taken_over: list[Lease] = []
    woken = LATER + timedelta(seconds=601)
    pacs.when_called = lambda: taken_over.extend(work.lease(desk.ledger, task.task_key, woken, 600))

    deliver_leased(desk, paused)

    assert (len(pacs.attempts), len(taken_over)) == (0, 1)
    pacs.when_called = lambda: None
    deliver_leased(desk, *taken_over)
    assert len(pacs.attempts) == len(pacs.stored) == 2


def test_a_note_is_tried_again_with_the_very_bytes_made_before(desk: Desk, pacs: Interrupted) -> None:
    deliver(desk)
    withdraw_all(desk)
    pacs.statuses = [0xA700]

    deliver(desk)
    assert [line.notes for line in round_lines(desk.ledger)] == [{"fake": "1 due"}]
    deliver(desk)

    (first, again) = pacs.attempts[2:]
    assert first == again
    assert [line.notes for line in round_lines(desk.ledger)] == [{"fake": "1 accepted"}]


def test_a_correction_stops_what_is_not_sent_yet_and_the_new_report_supersedes_what_was(
    desk: Desk, pacs: Interrupted, film: FileDataset
) -> None:
    corrected = remade(film, PatientID="ZZ-RIGHT")
    pacs.meanwhile = lambda: receive(desk, corrected, at=T0 + HOUR)

    deliver(desk)
    assert [line.deliveries for line in round_lines(desk.ledger)] == [{}, {"fake": "1 accepted, 1 superseded"}]
    read_all(desk, now=T0 + 2 * HOUR)
    deliver(desk)

    old, *new = pacs.stored
    assert (old.PatientID, {one.PatientID for one in new}) == (film.PatientID, {"ZZ-RIGHT"})
    (series,) = new[0].PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert len(new) == 2


def test_no_two_pacs_get_notes_of_one_uid(tmp_path: Path) -> None:
    with FakePacs().listening() as one, FakePacs().listening() as other:
        desk = open_desk(tmp_path, [one.destination(name="one"), other.destination(name="other")])
        receive(desk, make_cxr())
        read_all(desk)
        deliver(desk)
        withdraw_all(desk)
        deliver(desk)

    notes = [pacs.stored[-1] for pacs in (one, other)]
    assert {note.Modality for note in notes} == {"KO"}
    assert len({note.SOPInstanceUID for note in notes}) == len({note.SeriesInstanceUID for note in notes}) == 2
    desk.ledger.close()
