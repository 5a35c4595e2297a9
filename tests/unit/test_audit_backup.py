"""A backup, and a restore, are in the audit trail: who made it and where it lies, as the standard has it."""

import getpass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cxrnode.cli import app
from tests.audits import Told, told
from tests.builders import make_cxr
from tests.desks import open_desk, receive

URI = "12"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup of a node with one study, and the environment of that node."""
    desk = open_desk(tmp_path / "old", [])
    receive(desk, make_cxr())
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(tmp_path / "old"))
    monkeypatch.setenv("CXRNODE_RECEIVING__RESERVE_GB", "0")
    assert CliRunner().invoke(app, ["backup", str(tmp_path / "kept")]).exit_code == 0
    return tmp_path / "kept"


def only(messages: list[Told], event: str) -> Told:
    (one,) = (message for message in messages if message.event == event)
    return one


def media(message: Told) -> tuple[str, str, str]:
    """UserID, role and kind of the medium that took part."""
    (one,) = message.root.xpath("ActiveParticipant[MediaIdentifier]")
    return (
        one.get("UserID"),
        one.xpath("string(RoleIDCode/@originalText)"),
        one.xpath("string(MediaIdentifier/MediaType/@originalText)"),
    )


def test_a_backup_is_told_with_who_made_it_and_where(tmp_path: Path, kept: Path) -> None:
    """Red without the recorder in `commands.backup`."""
    message = only(told(tmp_path / "old" / "audit"), "Export")

    assert (message.action, message.outcome, message.subject(URI)) == ("R", "0", kept.as_uri())
    assert media(message) == (kept.as_uri(), "Destination Media", "URI")
    assert message.requestor.startswith(f"{getpass.getuser()}@")


@pytest.mark.usefixtures("kept")
def test_a_restore_is_told_in_the_trail_that_it_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red without the recorder in `commands.restore`; and nothing of the trail is lost for it."""
    again = CliRunner().invoke(app, ["backup", str(tmp_path / "later")])
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(tmp_path / "new"))
    restored = CliRunner().invoke(app, ["restore", str(tmp_path / "later")])

    assert (again.exit_code, restored.exit_code) == (0, 0), restored.output
    messages = told(tmp_path / "new" / "audit")
    assert [message.event for message in messages] == ["Export", "Import"], "the later backup holds word of the first"
    assert (messages[1].action, messages[1].subject(URI)) == ("C", (tmp_path / "later").as_uri())
    assert media(messages[1])[1:] == ("Source Media", "URI")


def test_what_was_not_made_is_not_told(tmp_path: Path, kept: Path) -> None:
    refused = CliRunner().invoke(app, ["backup", str(kept)])

    assert refused.exit_code != 0
    assert [message.event for message in told(tmp_path / "old" / "audit")] == ["Export"]
