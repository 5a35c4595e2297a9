"""Who was turned away, and what a PACS was asked, as the audit trail has it: over real associations."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pynetdicom import AE

from cxrnode.audit.alerts import EVERY, MOST_KINDS, OTHERS, Alerts
from cxrnode.audit.question import asked_by, asked_of
from cxrnode.audit.recorder import Recorder
from cxrnode.commands.samples import free_ports
from cxrnode.ledger.completions import Question
from cxrnode.peers.find import find_studies
from cxrnode.peers.query import Inquiries
from cxrnode.plans.criteria import Criteria
from cxrnode.receive import Receiver
from cxrnode.receiving.porch import Porch
from cxrnode.settings import Node, Receiving, Settings
from cxrnode.spool import Spool
from tests.audits import SOP_CLASS, Told, told
from tests.authority import Authority
from tests.shelves import FIRST, Shelf, archive, studies
from tests.sources import Source

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
WAIT_S = 10.0


def recorder_in(folder: Path) -> Recorder:
    return Recorder(Settings(node=Node(state_dir=folder)), "receiver")


def asked(message: Told) -> Dataset:
    """The question that a message quotes, read back."""
    return dcmread(DicomBytesIO(message.query), force=True)


def test_who_calls_and_is_not_known_is_told(tmp_path: Path) -> None:
    """Red when the receiver does not call `alert`."""
    receiving = Receiving.model_validate({"port": free_ports(1)[0], "reserve_gb": 0})
    alerts = Alerts(recorder_in(tmp_path))

    def alert(calling: str, address: str, reason: str) -> None:
        alerts.refused(calling, address, reason, NOW)

    receiver = Receiver("CXRNODE", receiving, Spool(tmp_path / "spool"), lambda _: None, alert=alert)
    receiver.start()
    try:
        ae = AE("STRANGER")
        ae.add_requested_context("1.2.840.10008.1.1")
        assert ae.associate("127.0.0.1", receiving.port, ae_title="SOMEBODY").is_rejected
        give_up = time.monotonic() + WAIT_S
        while not (messages := told(tmp_path / "audit")) and time.monotonic() < give_up:
            time.sleep(0.02)
    finally:
        receiver.stop()

    (message,) = messages
    assert message.event == "Security Alert, Node Authentication"
    assert (message.requestor, message.outcome) == ("STRANGER", "4")
    assert message.subject("110182") == "127.0.0.1"
    assert message.reason == "called AE title is not CXRNODE"


def test_a_flood_of_one_kind_is_told_once_a_minute_with_its_number(tmp_path: Path) -> None:
    """Red when `refused` tells each."""
    alerts = Alerts(recorder_in(tmp_path))
    for number in range(500):
        alerts.refused("SCAN", "10.0.0.9", "too many associations", NOW + timedelta(milliseconds=number))
    alerts.refused("", "10.0.0.9", "handshake refused: no certificate", NOW + timedelta(seconds=1))
    alerts.refused("SCAN", "10.0.0.9", "too many associations", NOW + EVERY)

    assert [one.reason for one in told(tmp_path / "audit")] == [
        "too many associations",
        "handshake refused: no certificate",
        "too many associations; 499 more of these within the minute",
        "too many associations",
    ]


def test_the_end_of_a_flood_is_told_though_nobody_calls_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red without the timer: how many there were was told with the next refusal alone, or never."""
    monkeypatch.setattr("cxrnode.audit.alerts.EVERY", timedelta(milliseconds=50))
    alerts = Alerts(recorder_in(tmp_path))
    now = datetime.now(UTC)
    for _ in range(3):
        alerts.refused("SCAN", "10.0.0.9", "too many associations", now)

    give_up = time.monotonic() + WAIT_S
    while len(told(tmp_path / "audit")) < 2 and time.monotonic() < give_up:
        time.sleep(0.02)
    _, last = told(tmp_path / "audit")
    assert last.reason == "too many associations; 2 more of these within the minute"


def test_what_was_counted_is_told_when_the_receiver_ends(tmp_path: Path) -> None:
    alerts = Alerts(recorder_in(tmp_path))
    for _ in range(3):
        alerts.refused("SCAN", "10.0.0.9", "too many associations", NOW)

    alerts.end(NOW)
    alerts.end(NOW)

    assert [one.reason for one in told(tmp_path / "audit")][1:] == [
        "too many associations; 2 more of these within the minute"
    ]


def test_who_calls_himself_otherwise_each_time_does_not_fill_the_trail(tmp_path: Path) -> None:
    """Red when every AE title is a kind of its own: a stranger chooses it, and no file of the trail is ever removed."""
    alerts = Alerts(recorder_in(tmp_path))
    for number in range(3000):
        alerts.refused(f"SCAN{number}", "10.0.0.9", "called AE title is not CXRNODE", NOW)
    alerts.end(NOW)

    messages = told(tmp_path / "audit")
    assert len(messages) == MOST_KINDS + 2
    assert messages[-2].requestor == "unknown"
    assert messages[-1].reason == f"{OTHERS[-1]}; {3000 - MOST_KINDS - 1} more of these within the minute"


def test_a_clock_that_is_put_back_silences_no_alarm(tmp_path: Path) -> None:
    """Red when only what lies behind counts as over: the same stranger was not told again for so long."""
    alerts = Alerts(recorder_in(tmp_path))
    for now in (NOW, NOW - timedelta(hours=3)):
        alerts.refused("SCAN", "10.0.0.9", "too many associations", now)

    assert len(told(tmp_path / "audit")) == 2


def test_a_porch_tells_whom_it_turned_away(tmp_path: Path) -> None:
    heard: list[tuple[str, str, str]] = []
    porch = Porch(Authority(tmp_path).certificates("node"), lambda *one: heard.append(one))
    porch._refusal("no certificate", "10.0.0.9")

    assert heard == [("", "10.0.0.9", "handshake refused: no certificate")]


def test_a_search_of_an_archive_is_told_question_by_question(tmp_path: Path) -> None:
    """Red when `_asking` hands on what it does not tell."""
    recorder = recorder_in(tmp_path)
    shelf = Shelf(studies(3))
    with Source(answer=shelf.answer).listening() as source:
        pacs = archive(source)
        found = list(find_studies(pacs, "CXRNODE", Criteria(FIRST, FIRST), asked_of(pacs, recorder)))

    messages = told(tmp_path / "audit")
    assert found
    assert len(messages) == len(shelf.questions)
    for message, question in zip(messages, shelf.questions, strict=True):
        assert (message.event, message.action, message.subject(SOP_CLASS)) == ("Query", "E", FIND)
        assert message.in_role("110152") == pacs.ae_title
        assert asked(message) == question
        assert "@" in message.requestor, "whoever runs the replay"


def test_a_source_that_is_asked_for_a_count_is_told(tmp_path: Path) -> None:
    done: list[bool] = []
    with Source(counts=[4]).listening() as source:
        inquiries = Inquiries("CXRNODE", lambda: done.append(True), asked_by(recorder_in(tmp_path)))
        question = Question("r", "1.2.826.1", "SOURCE", "127.0.0.1", NOW)
        inquiries.begin(question, source.sender().source("127.0.0.1"))
        give_up = time.monotonic() + WAIT_S
        while not done and time.monotonic() < give_up:
            time.sleep(0.02)

    (message,) = told(tmp_path / "audit")
    assert asked(message).StudyInstanceUID == "1.2.826.1"
    assert message.requestor == message.in_role("110153"), "the node itself"
