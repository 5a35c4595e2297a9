"""Who looks at a study is in the trail before anything is shown; what cannot be told is not shown."""

import json
import os
import pwd
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cxrnode.cli import app
from cxrnode.compare.command import Request, compare
from cxrnode.errors import AuditUnavailable
from cxrnode.ledger.naming import study_key_of
from tests.audits import PATIENT, STUDY, told
from tests.builders import make_cxr
from tests.compared import LARGE, LITE, Reading
from tests.desks import open_desk, read_all, receive

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ALL_UIDS = Request("lite", "large", Path("out"), most=1, with_uids=True)


def run(folder: Path, *words: str, monkeypatch: pytest.MonkeyPatch, url: str) -> Result:
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(folder))
    monkeypatch.setenv("CXRNODE_LEDGER__URL", url)
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize("command", ["trace", "show"])
def test_who_looks_is_told_by_the_name_that_the_system_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Red when `trace` or `show` does not call `looks`."""
    film = make_cxr()
    desk = open_desk(tmp_path, [])
    receive(desk, film)
    read_all(desk)
    out = ["--out", str(tmp_path / "out")] if command == "show" else []
    name = study_key_of(desk.ledger, film.StudyInstanceUID)

    for words in ([str(name)], [film.StudyInstanceUID, "--json"]):
        result = run(tmp_path, command, *words, *out, monkeypatch=monkeypatch, url=desk.settings.ledger_url)
        assert result.exit_code == 0, result.output
        assert film.PatientID not in result.output

    messages = told(tmp_path / "audit")
    assert [(one.event, one.action) for one in messages] == [("DICOM Instances Accessed", "R")] * 2
    for one in messages:
        assert one.requestor.partition("@")[0] == pwd.getpwuid(os.getuid()).pw_name
        assert (one.subject(STUDY), one.subject(PATIENT)) == (film.StudyInstanceUID, film.PatientID)
        assert one.patient_name == str(film.PatientName)
        assert f"cxrnode {command}" in one.root.xpath("ActiveParticipant/@UserName")


@pytest.mark.parametrize("command", ["trace", "show"])
def test_nobody_is_shown_what_the_trail_cannot_be_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Red when `looks` is called after the output, or forgives."""
    film = make_cxr()
    desk = open_desk(tmp_path, [])
    receive(desk, film)
    read_all(desk)
    (tmp_path / "audit").unlink(missing_ok=True)
    (tmp_path / "audit").write_text("in the way")
    words = [command, film.StudyInstanceUID, *(["--out", str(tmp_path / "out")] if command == "show" else [])]

    result = run(tmp_path, *words, monkeypatch=monkeypatch, url=desk.settings.ledger_url)

    assert isinstance(result.exception, AuditUnavailable)
    assert result.output == ""
    assert not (tmp_path / "out").exists()


def test_files_that_somebody_has_already_are_nobodys_secret_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_cxr()
    desk = open_desk(tmp_path / "state", [])
    receive(desk, film)
    read_all(desk)
    results = [str(file) for file in desk.spool.root.glob("results/**/*.dcm")]
    words = ["show", *results, "--out", str(tmp_path / "out"), "--json"]

    result = run(tmp_path / "state", *words, monkeypatch=monkeypatch, url=desk.settings.ledger_url)

    assert json.loads(result.output)
    assert told(tmp_path / "state" / "audit") == []


def test_a_comparison_says_whose_films_it_showed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Red when `compare` tells nobody, or only of what it pictures where it writes every UID."""
    reading = Reading(tmp_path / "state")
    reading.receive(3)
    reading.read(LITE, [0.1, 0.9, 0.5])
    reading.read(LARGE, [0.9, 0.8, 0.5])
    for wanted, studies in ((Request("lite", "large", tmp_path / "a", most=1), 1), (ALL_UIDS, 3)):
        before = len(told(tmp_path / "state" / "audit"))
        compare(replace(wanted, out=tmp_path / "out"), reading.desk.settings, NOW, as_json=True)
        messages = told(tmp_path / "state" / "audit")[before:]
        assert [one.event for one in messages] == ["DICOM Instances Accessed"] * studies
        assert {one.subject(PATIENT) for one in messages} == {str(film.PatientID) for film in reading.films}
    assert capsys.readouterr().out
    reading.desk.ledger.close()
