"""`cxrnode audit`: the messages that are asked for, in order, and first of all that somebody asked."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cxrnode.audit.entry import entry_of
from cxrnode.audit.events import About, Here, accessed, application_entity, deleted, received, sent
from cxrnode.audit.message import Participant, as_line
from cxrnode.audit.trail import Trail
from cxrnode.audit.who import process
from cxrnode.cli import app
from cxrnode.errors import AuditUnavailable
from tests.audits import told

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HERE = Here("node-1", process("receiver", "CXRNODE"))
ANN, BOB = About("1.2.1", "ANN", "A^Ann", "a" * 32), About("1.2.2", "BOB", "B^Bob", "b" * 32)
EVE = Participant("eve@host", "root@host", "root", requestor=True)
PACS = application_entity("PACS", "10.0.0.2")


def run(folder: Path, *words: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(folder))
    return CliRunner().invoke(app, ["audit", *words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A trail of three days."""
    trail = Trail(tmp_path / "audit")
    trail.write([received(HERE, NOW, PACS, ANN, {"1.2": 3}, new=True)], NOW)
    trail.write([sent(HERE, NOW + DAY, PACS, BOB, {"1.3": 1}, "fake: status 0xA900")], NOW + DAY)
    trail.write([accessed(HERE, NOW + 2 * DAY, EVE, ANN), deleted(HERE, NOW + 2 * DAY, EVE, BOB, {})], NOW + 2 * DAY)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "patients"),
    [
        ([], ["ANN", "BOB", "ANN", "BOB"]),
        (["--from", "2026-03-02"], ["BOB", "ANN", "BOB"]),
        (["--to", "2026-03-02"], ["ANN", "BOB"]),
        (["--from", "20260302", "--to", "20260302"], ["BOB"]),
        (["--study", "1.2.1"], ["ANN", "ANN"]),
        (["--study", "b" * 32], ["BOB", "BOB"]),
        (["--who", "eve"], ["ANN", "BOB"]),
        (["--who", "root@host"], ["ANN", "BOB"]),
        (["--who", "PACS"], ["ANN", "BOB"]),
        (["--who", "nobody"], []),
    ],
)
def test_the_messages_that_are_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], patients: list[str]
) -> None:
    result = run(folder, *words, "--json", monkeypatch=monkeypatch)

    assert result.exit_code == 0, result.output
    assert [one["patient"] for one in json.loads(result.output) if one["patient"]] == patients


def test_a_table_says_who_did_what_and_what_failed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = run(folder, monkeypatch=monkeypatch)

    assert "DICOM Instances Accessed" in result.output
    assert "eve@host" in result.output
    assert "fake: status 0xA900" in result.output


def test_the_messages_themselves_are_those_of_the_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(folder, "--xml", "--to", "2026-03-01", monkeypatch=monkeypatch)

    assert result.output.encode() == (folder / "audit" / "2026-03-01.xml").read_bytes()


def test_whoever_reads_the_trail_is_in_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when `audit` does not call `read_trail`."""
    run(folder, "--json", monkeypatch=monkeypatch)

    last = told(folder / "audit")[-1]
    assert (last.event, last.action) == ("Audit Log Used", "R")
    assert last.subject("12") == (folder / "audit").as_uri()
    assert "@" in last.requestor


def test_a_trail_that_cannot_be_written_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cxrnode.audit.trail.os.fsync", full)
    result = run(folder, monkeypatch=monkeypatch)

    assert isinstance(result.exception, AuditUnavailable)
    assert result.output == ""


def test_what_is_torn_or_no_message_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "audit" / "2026-03-01.xml"
    file.write_bytes(b"<AuditMess\n<other/>\n\n" + file.read_bytes())

    assert entry_of(b"<other/>") is None
    result = run(folder, "--to", "2026-03-01", "--json", monkeypatch=monkeypatch)
    assert [one["patient"] for one in json.loads(result.output)] == ["ANN"]


def test_an_entry_says_what_its_message_says() -> None:
    entry = entry_of(as_line(received(HERE, NOW, PACS, ANN, {"1.2": 3, "1.3": 1}, new=True)))

    assert entry is not None
    assert (entry.event, entry.outcome, entry.by) == ("DICOM Instances Transferred", "0", "PACS")
    assert (entry.study, entry.study_key, entry.patient, entry.instances) == ("1.2.1", "a" * 32, "ANN", 4)
    mine = entry_of(as_line(deleted(HERE, NOW, None, ANN, {})))
    assert mine is not None
    assert mine.by == "cxrnode receiver"
