"""What goes to a destination is in the trail before it goes, and afterwards what of it was taken and what was not."""

from pathlib import Path
from unittest.mock import patch

import pytest

from cxrnode.commands.samples import free_ports
from tests.audits import PATIENT, STUDY, told
from tests.builders import make_cxr
from tests.desks import open_desk, read_all, receive, turn
from tests.fakes import FakePacs
from workers import delivery
from workers.desk import Desk

SR, SC = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7"


def owing(folder: Path, pacs: FakePacs) -> Desk:
    """A desk that owes a fake PACS the report and the overlay of one film."""
    desk = open_desk(folder, [pacs.destination()], delivery={"first_retry_s": 0.001, "longest_retry_s": 0.001})
    receive(desk, make_cxr())
    read_all(desk)
    return desk


def events(desk: Desk) -> list[tuple[str, str, str, dict[str, int]]]:
    """Each message in short: the event, its outcome, to whom, and what."""
    return [(one.event, one.outcome, one.in_role("110152"), one.counts) for one in told(desk.recorder.trail.folder)]


BEGINS, TRANSFERRED = "Begin Transferring DICOM Instances", "DICOM Instances Transferred"


def test_what_is_sent_is_told_before_and_after(tmp_path: Path) -> None:
    """Red when `begins` tells nothing, or takes the study's UID from anywhere but the object."""
    film = make_cxr()
    with FakePacs().listening() as pacs:
        desk = open_desk(tmp_path, [pacs.destination()])
        receive(desk, film)
        read_all(desk)
        turn(desk)

    assert events(desk) == [
        (BEGINS, "0", "FAKEPACS", {SR: 1, SC: 1}),
        (TRANSFERRED, "0", "FAKEPACS", {SR: 1, SC: 1}),
    ]
    for one in told(desk.recorder.trail.folder):
        assert (one.subject(STUDY), one.subject(PATIENT)) == (film.StudyInstanceUID, film.PatientID)
        assert one.patient_name == str(film.PatientName)


def test_what_was_refused_is_a_message_of_its_own(tmp_path: Path) -> None:
    with FakePacs(statuses=[0x0000, 0xA900]).listening() as pacs:
        desk = owing(tmp_path, pacs)
        turn(desk)

    assert events(desk) == [
        (BEGINS, "0", "FAKEPACS", {SR: 1, SC: 1}),
        (TRANSFERRED, "0", "FAKEPACS", {SR: 1}),
        (TRANSFERRED, "4", "FAKEPACS", {SC: 1}),
    ]
    assert told(desk.recorder.trail.folder)[-1].reason == "fake: status 0xA900"


def test_what_was_cut_off_half_way_is_told_as_not_taken(tmp_path: Path) -> None:
    with FakePacs(drop_after=1).listening() as pacs:
        desk = owing(tmp_path, pacs)
        turn(desk)

    begun, *ended = events(desk)
    assert begun == (BEGINS, "0", "FAKEPACS", {SR: 1, SC: 1})
    assert {outcome for _, outcome, _, _ in ended} <= {"0", "4"}
    assert ended


def test_a_destination_that_is_away_was_told_nothing_of_any_patient(tmp_path: Path) -> None:
    """Red when `begins` is called before there is an association."""
    (port,) = free_ports(1)
    desk = owing(tmp_path, FakePacs(port=port))
    turn(desk)

    assert events(desk) == []


def test_a_worker_that_is_killed_while_it_sends_has_told_that_it_would(tmp_path: Path) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with FakePacs().listening() as pacs:
        desk = owing(tmp_path, pacs)
        with patch.object(delivery, "send", _begin_and(killed)), pytest.raises(KeyboardInterrupt):
            turn(desk)

    assert events(desk)[0] == (BEGINS, "0", "FAKEPACS", {SR: 1, SC: 1})


def _begin_and(killed: object) -> object:
    def send(files: object, destination: object, ae_title: str, told: object, wanted: object) -> None:  # noqa: ARG001
        wanted(0)
        killed()

    return send


def test_a_trail_that_cannot_be_written_keeps_no_result_from_its_patient(tmp_path: Path) -> None:
    with FakePacs().listening() as pacs:
        desk = owing(tmp_path, pacs)
        (tmp_path / "audit").write_text("in the way")
        turn(desk)

    assert len(pacs.stored) == 2
