"""What status and check say of the audit trail; and what retention removes is in it before it goes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cxrnode.audit.recorder import Recorder
from cxrnode.check.looking import Result, look_at, looks
from cxrnode.cli import app
from cxrnode.commands.samples import free_ports
from cxrnode.errors import AuditUnavailable
from cxrnode.retention import purge
from cxrnode.settings import Settings
from tests.audits import PATIENT, STUDY, told
from tests.authority import Authority
from tests.builders import make_cxr
from tests.collectors import Collector
from tests.desks import T0, open_desk, read_all, receive

LATER = datetime.now(UTC) + timedelta(days=31)
"""after an analysis that ended just now"""


def audit_of(folder: Path, **audit: object) -> Result:
    """What `check` says of the trail."""
    settings = Settings.model_validate({"node": {"state_dir": folder}, "audit": audit})
    ((what, look),) = (one for one in looks(settings) if one[0] == "audit")
    return look_at(what, look)


def test_check_says_where_the_trail_is_and_whether_its_collector_listens(tmp_path: Path) -> None:
    hospital = Authority(tmp_path / "ca")
    (port,) = free_ports(1)
    tls = {"syslog": "tls", "host": "localhost", "ca_file": hospital.file}
    with Collector(hospital.signed("localhost")) as collector:
        good = audit_of(tmp_path, **tls, port=collector.port)

    assert (good.well, good.told) == (
        True,
        f"kept in {tmp_path / 'audit'}; localhost:{collector.port} (tls) takes the connection",
    )
    assert not audit_of(tmp_path, **tls, port=port).well
    assert audit_of(tmp_path).told == f"kept in {tmp_path / 'audit'}, sent to no collector"
    assert audit_of(tmp_path, syslog="udp", host="127.0.0.1", port=port).well
    assert not (tmp_path / "audit").exists(), "nothing is made by looking"
    assert collector.taken == []


def test_check_finds_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("in the way")

    found = audit_of(tmp_path)

    assert not found.well
    assert "cannot be written" in found.told


def test_status_says_what_waits_for_the_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = open_desk(tmp_path, [])
    desk.recorder.started(T0)
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(tmp_path))
    monkeypatch.setenv("CXRNODE_LEDGER__URL", desk.settings.ledger_url)
    assert "audit" not in json.loads(CliRunner().invoke(app, ["status", "--json"]).output)
    monkeypatch.setenv("CXRNODE_AUDIT__SYSLOG", "udp")
    monkeypatch.setenv("CXRNODE_AUDIT__HOST", "127.0.0.1")
    noted = {"ends": {}, "away_since": T0.isoformat(), "reason": "Connection refused"}
    (tmp_path / "audit" / "forwarded.json").write_text(json.dumps(noted))

    found = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)
    words = CliRunner().invoke(app, ["status"]).output

    assert found["audit"] == {"waiting": 1, "away_since": T0.isoformat(), "reason": "Connection refused"}
    assert "is away since 2026-01-02T10:00:00 UTC (Connection refused): 1 audit message kept for it." in words


def test_what_retention_removes_is_told_first(tmp_path: Path) -> None:
    """Red when `_remove` removes first, or tells nobody."""
    film = make_cxr()
    desk = open_desk(tmp_path, [])
    receive(desk, film)
    read_all(desk)
    recorder = Recorder(desk.settings, "receiver")
    (image,) = desk.spool.root.glob("instances/*/*/image.dcm")

    def untold(*_: object) -> None:
        assert image.exists()
        raise AuditUnavailable("no room")

    purge(desk.ledger, desk.spool, 30.0, LATER, untold)
    assert image.exists()
    purge(desk.ledger, desk.spool, 30.0, LATER, lambda *one: recorder.removed(*one, LATER, by_hand=False))

    assert not image.exists()
    (message,) = told(tmp_path / "audit")
    assert (message.event, message.subject(STUDY), message.subject(PATIENT)) == (
        "DICOM Study Deleted",
        film.StudyInstanceUID,
        film.PatientID,
    )
    assert (message.requestor, message.counts) == ("", {film.SOPClassUID: 1})


@pytest.mark.parametrize("content", ["{", None], ids=["damaged", "gone"])
def test_a_receipt_that_cannot_be_read_keeps_nothing_from_its_end(tmp_path: Path, content: str | None) -> None:
    """Red when the receipt is read unguarded: each turn of the receiver ended there, and no study went any more."""
    film = make_cxr()
    desk = open_desk(tmp_path, [])
    receive(desk, film)
    read_all(desk)
    (receipt,) = desk.spool.root.glob("instances/*/*/receipt.json")
    receipt.unlink() if content is None else receipt.write_text(content)
    recorder = Recorder(desk.settings, "receiver")

    purge(desk.ledger, desk.spool, 30.0, LATER, lambda *one: recorder.removed(*one, LATER, by_hand=False))

    (message,) = told(tmp_path / "audit")
    assert (message.subject(STUDY), message.subject(PATIENT)) == (film.StudyInstanceUID, film.PatientID)
    assert not receipt.with_name("image.dcm").exists()
