"""Audit messages are what the standard's schema allows, whatever a header holds; the trail is whole, and private."""

import multiprocessing
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrnode.audit import who
from cxrnode.audit.events import (
    About,
    Here,
    Question,
    accessed,
    alert,
    application,
    application_entity,
    begins,
    deleted,
    log_used,
    query,
    received,
    sent,
)
from cxrnode.audit.message import Message, as_line
from cxrnode.audit.recorder import Arrived, Recorder
from cxrnode.audit.trail import Trail
from cxrnode.audit.who import person, process
from cxrnode.errors import AuditUnavailable
from cxrnode.settings import Node, Settings
from tests.audits import PATIENT, SOP_CLASS, STUDY, Told, checked, told

NOW = datetime(2026, 3, 1, 23, 59, 58, 250000, tzinfo=UTC)
HERE = Here("node-1", process("receiver", "CXRNODE"))
ABOUT = About("1.2.3", "PID-1", "Zzsynthetic^Ann", "k" * 32)
PACS = application_entity("ARCHIVE", "10.1.3.4")
DX, SR = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.88.34"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = "1.2.840.10008.1.2"


def read(message: Message) -> Told:
    """The message after its trip through bytes."""
    line = as_line(message)
    assert b"\n" not in line
    return checked(line)


def test_every_event_is_what_the_schema_allows() -> None:
    """Red when as_line writes the query after the details, or leaves a subject without its name."""
    events = [
        application(HERE, NOW, person(), start=True),
        application(HERE, NOW, person(), start=False),
        log_used(HERE, NOW, person(), "file:///var/audit"),
        begins(HERE, NOW, PACS, ABOUT, {SR: 1}),
        sent(HERE, NOW, PACS, ABOUT, {SR: 1}),
        sent(HERE, NOW, PACS, ABOUT, {SR: 1}, "archive: status 0xA900"),
        received(HERE, NOW, PACS, ABOUT, {DX: 2}, new=True),
        received(HERE, NOW, PACS, About("1.2.3"), {DX: 2}, new=False),
        accessed(HERE, NOW, person(), ABOUT),
        deleted(HERE, NOW, None, ABOUT, {DX: 2}),
        deleted(HERE, NOW, person(), ABOUT, {DX: 2}),
        query(HERE, NOW, PACS, Question(FIND, b"\0\1", IMPLICIT)),
        query(HERE, NOW, PACS, Question("https://pacs/studies", b"PatientID=1"), person()),
        alert(HERE, NOW, PACS, "called AE title is not CXRNODE"),
    ]

    assert [(one.event, one.action, one.outcome) for one in map(read, events)] == [
        ("Application Activity, Application Start", "E", "0"),
        ("Application Activity, Application Stop", "E", "0"),
        ("Audit Log Used", "R", "0"),
        ("Begin Transferring DICOM Instances", "E", "0"),
        ("DICOM Instances Transferred", "R", "0"),
        ("DICOM Instances Transferred", "R", "4"),
        ("DICOM Instances Transferred", "C", "0"),
        ("DICOM Instances Transferred", "R", "0"),
        ("DICOM Instances Accessed", "R", "0"),
        ("DICOM Study Deleted", "D", "0"),
        ("DICOM Study Deleted", "D", "0"),
        ("Query", "E", "0"),
        ("Query", "E", "0"),
        ("Security Alert, Node Authentication", "E", "4"),
    ]


def test_a_message_says_who_sent_what_to_whom() -> None:
    one = read(received(HERE, NOW, PACS, ABOUT, {DX: 2, SR: 1}, new=True))

    assert (one.in_role("110153"), one.in_role("110152")) == ("ARCHIVE", str(os.getpid()))
    assert one.requestor == "ARCHIVE"
    assert (one.subject(STUDY), one.subject(PATIENT), one.patient_name) == ("1.2.3", "PID-1", "Zzsynthetic^Ann")
    assert one.counts == {DX: 2, SR: 1}
    assert one.at == "2026-03-01T23:59:58.250+00:00"


def test_a_question_is_told_as_it_was_asked() -> None:
    one = read(query(HERE, NOW, PACS, Question(FIND, b"\x08\0\x20\0\n\xff<", IMPLICIT), person()))

    assert (one.query, one.subject(SOP_CLASS)) == (b"\x08\0\x20\0\n\xff<", FIND)
    assert one.requestor == person().user_id
    assert one.root.xpath("count(ActiveParticipant[@UserIsRequestor='true'])") == 1


@given(patient=st.text(), name=st.text(), ae_title=st.text(), why=st.text(min_size=1))
def test_whatever_a_header_holds_a_message_is_one_line_of_xml(patient: str, name: str, ae_title: str, why: str) -> None:
    """Red when as_text is left out of `_add` or of the name."""
    about = About("1.2.3", patient, name)

    for message in (
        sent(HERE, NOW, application_entity(ae_title, "10.0.0.1"), about, {DX: 1}, why),
        alert(HERE, NOW, application_entity(ae_title, "10.0.0.1"), why),
    ):
        read(message)


def test_a_name_in_any_script_is_the_same_after_the_trip() -> None:
    name = 'Yamada^Tarou=山田^太郎=やまだ^たろう & "<b>"'

    assert read(accessed(HERE, NOW, person(), About("1.2.3", "ÄÖ'1", name))).patient_name == name


def test_the_trail_is_a_file_a_day_for_its_owner_alone(tmp_path: Path) -> None:
    trail, folder = Trail(tmp_path / "state" / "audit"), tmp_path / "state" / "audit"
    message = accessed(HERE, NOW, person(), ABOUT)

    trail.write([message, message], NOW)
    trail.write([message], NOW + timedelta(seconds=2))
    trail.write([message], NOW.astimezone(timezone(timedelta(hours=5))))
    trail.write([], NOW + timedelta(days=9))

    assert {file.name: len(file.read_bytes().splitlines()) for file in trail.files()} == {
        "2026-03-01.xml": 3,
        "2026-03-02.xml": 1,
    }
    assert {oct(file.stat().st_mode & 0o777) for file in trail.files()} == {"0o600"}
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert len(told(folder)) == 4


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "2026-03-01.xml"
    file.touch(0o644)

    Trail(tmp_path).write([accessed(HERE, NOW, person(), ABOUT)], NOW)

    assert oct(file.stat().st_mode & 0o777) == "0o600"


def test_what_a_power_cut_left_half_written_spoils_no_line_after_it(tmp_path: Path) -> None:
    """Red when `_add` does not look at the last byte."""
    trail = Trail(tmp_path)
    message = accessed(HERE, NOW, person(), ABOUT)
    trail.write([message], NOW)
    (file,) = trail.files()
    file.write_bytes(file.read_bytes() + b"<AuditMess")

    trail.write([message], NOW)

    first, torn, last = file.read_bytes().splitlines()
    assert torn == b"<AuditMess"
    assert checked(first).subject(STUDY) == checked(last).subject(STUDY) == "1.2.3"


def test_a_full_disk_leaves_no_half_of_a_line_and_is_told(tmp_path: Path) -> None:
    """Red when the file is not cut back."""
    trail = Trail(tmp_path)
    message = accessed(HERE, NOW, person(), ABOUT)
    trail.write([message], NOW)
    (file,) = trail.files()
    before = file.read_bytes()

    def filling(handle: int, content: bytes) -> int:
        if os.fstat(handle).st_size > len(before) + 50:
            raise OSError(28, "No space left on device")
        return real(handle, content[:100])

    real = os.write
    with patch("cxrnode.audit.trail.os.write", filling), pytest.raises(AuditUnavailable, match="No space left"):
        trail.write([message], NOW)

    assert file.read_bytes() == before


def test_processes_that_write_at_once_mix_no_lines(tmp_path: Path) -> None:
    """Red when O_APPEND is taken from `_locked`."""
    many = multiprocessing.get_context("fork")
    writers = [many.Process(target=_write_some, args=(tmp_path, str(number))) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    patients = [one.subject(PATIENT) for one in told(tmp_path)]
    assert sorted(patients) == sorted(f"{number}-{turn}" for number in range(4) for turn in range(25))


def _write_some(folder: Path, name: str) -> None:
    for turn in range(25):
        about = About("1.2.3", f"{name}-{turn}", "N" * 3000)
        Trail(folder).write([accessed(HERE, NOW, person(), about)], NOW)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_what_root_makes_belongs_to_whom_the_state_folder_does(tmp_path: Path) -> None:
    """Red when only the file is given away: the node could not write a trail that root's `cxrnode trace` began."""
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 65534, 65534)

    Trail(state / "audit").write([accessed(HERE, NOW, person(), ABOUT)], NOW)

    made = [state / "audit", *(state / "audit").iterdir()]
    assert [(one.stat().st_uid, one.stat().st_gid) for one in made] == [(65534, 65534)] * 2


def test_a_person_is_who_the_kernel_says_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    login = tmp_path / "loginuid"
    monkeypatch.setattr(who, "LOGIN_UID", login)
    me, _, host = person().user_id.partition("@")

    assert me == who._name(os.getuid())
    login.write_text(str(2**32 - 1))
    assert person().alternative_id == ""
    login.write_text("54321")
    assert person().alternative_id == f"54321@{host}"


def test_the_node_goes_on_where_the_trail_cannot_be_written_and_people_are_shown_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audit").write_text("in the way")
    recorder = Recorder(Settings(node=Node(state_dir=tmp_path)), "receiver")

    recorder.started(NOW)
    recorder.refused("MODALITY", "10.0.0.1", "too many associations", NOW)

    assert "audit not written" in "".join(capsys.readouterr())  # by whichever log a test before this one has set up
    with pytest.raises(AuditUnavailable, match="cannot be written"):
        recorder.looked([ABOUT], NOW)
    with pytest.raises(AuditUnavailable):
        recorder.removed(ABOUT, {DX: 1}, NOW, by_hand=True)
    with pytest.raises(AuditUnavailable):
        recorder.received([Arrived("MODALITY", "10.0.0.1", NOW, ABOUT, {DX: 1}, new=True)], NOW)
