"""`cxrnode purge STUDY`: of one study nothing is left, in files or rows; the rest is as it was, and it is told."""

import importlib
import json
import pkgutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import inspect, text
from typer.testing import CliRunner, Result

from cxrnode import ledger as ledger_rooms
from cxrnode.cli import app
from cxrnode.complete import sweep
from cxrnode.errors import AuditUnavailable, CxrNodeError, StillOwed
from cxrnode.ledger import Ledger, arrivals, erasures, tallies, work
from cxrnode.ledger.account import account, recount
from cxrnode.ledger.naming import study_key_of
from cxrnode.ledger.replaytables import Step, planned
from cxrnode.ledger.tables import commitments, metadata, transactions
from cxrnode.ledger.withdrawals import chosen, withdraw
from tests.audits import PATIENT, STUDY, told
from tests.builders import make_cxr, remade
from tests.desks import open_desk, read_all, receive, turn
from tests.fakes import FakePacs
from workers.desk import Desk

NOW = datetime(2026, 1, 3, tzinfo=UTC)


@pytest.fixture
def pacs() -> FakePacs:
    return FakePacs()


def lived(folder: Path, pacs: FakePacs, films: list[object]) -> Desk:
    """A desk on which these films were received, read and delivered, and one of them withdrawn."""
    with pacs.listening():
        desk = open_desk(folder, [pacs.destination().model_copy(update={"commitment": "off"})])
        for film in films:
            receive(desk, film)
        read_all(desk)
        turn(desk)
    return desk


def run(folder: Path, *words: str, monkeypatch: pytest.MonkeyPatch, url: str) -> Result:
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(folder))
    monkeypatch.setenv("CXRNODE_LEDGER__URL", url)
    return CliRunner().invoke(app, ["purge", *words])


def rows(ledger: Ledger) -> dict[str, str]:
    """Every table with all that it says, as one text."""
    with ledger.reading() as db:
        names = inspect(db).get_table_names()
        return {name: repr(db.execute(text(f'SELECT * FROM "{name}"')).all()) for name in names}  # noqa: S608


def files(folder: Path) -> set[Path]:
    return {path for path in (folder / "spool").rglob("*") if path.is_file()}


def test_nothing_of_the_study_is_left_and_all_of_the_others_is(
    tmp_path: Path, pacs: FakePacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when one table is left out of `erase`, or an instance's folder stays."""
    gone, stays = make_cxr(), make_cxr(PatientID="OTHER")
    desk = lived(tmp_path, pacs, [gone, remade(gone, SOPInstanceUID="1.2.826.99.1", InstanceNumber=2), stays])
    (round_key,) = chosen(desk.ledger, study=gone.StudyInstanceUID)
    withdraw(desk.ledger, round_key, "wrong", NOW)
    with desk.ledger.reading() as db:
        found = erasures._whole(db, study_key_of(desk.ledger, gone.StudyInstanceUID), NOW)
        made = text("SELECT sop_instance_uid FROM objects WHERE round_key = :key")
        uids = set(db.execute(made, {"key": round_key}).scalars())
        (report, *_) = uids
    with desk.ledger.writing() as db:
        asked = {"uid": "2.25.7001", "round_key": round_key, "destination": "fake", "number": 1}
        db.execute(transactions.insert().values(**asked))
        db.execute(commitments.insert().values(transaction_uid="2.25.7001", sop_instance_uid=report))
    other = files(tmp_path)
    while tallies.settle(desk.ledger):
        pass

    result = run(tmp_path, found.key, "--even-if-owed", monkeypatch=monkeypatch, url=desk.settings.ledger_url)

    assert result.exit_code == 0, result.output
    names = {found.key, found.study_instance_uid, *found.instances, *found.rounds, *uids, "1.2.826.99.1", "2.25.7001"}
    left = rows(desk.ledger)
    assert {name for name in left for one in names if one in left[name]} == set()
    assert {path for path in files(tmp_path) for one in names if one in str(path)} == set()
    kept = study_key_of(desk.ledger, stays.StudyInstanceUID)
    assert kept is not None
    assert files(tmp_path) < other
    told_now = account(desk.ledger, desk.spool)
    assert (told_now.balanced, told_now.total) == (True, 1)
    assert recount(desk.ledger, desk.spool).agreed
    assert sweep(desk.spool, desk.ledger) == 0


def test_every_table_is_of_a_study_or_known_to_be_of_none() -> None:
    """A new table must be one of these, or lead to `studies` by its foreign keys."""
    for room in pkgutil.iter_modules(ledger_rooms.__path__):
        if room.name != "migrations":
            importlib.import_module(f"cxrnode.ledger.{room.name}")

    of_none = {table.name for table in metadata.sorted_tables if erasures._its(table, "") is None}
    assert of_none == {"baselines", "canaries", "circuits", "mixes", "replays", "studies", "tallies"}


def test_who_erased_whose_study_is_in_the_trail(
    tmp_path: Path, pacs: FakePacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_cxr()
    desk = lived(tmp_path, pacs, [film])

    run(tmp_path, film.StudyInstanceUID, monkeypatch=monkeypatch, url=desk.settings.ledger_url)

    came, last = told(tmp_path / "audit")[-2:]
    assert (came.event, last.event, last.action) == ("DICOM Instances Transferred", "DICOM Study Deleted", "D")
    assert came.requestor == "DXROOM1"
    assert (last.subject(STUDY), last.subject(PATIENT)) == (film.StudyInstanceUID, film.PatientID)
    assert last.counts == {film.SOPClassUID: 1}
    assert "@" in last.requestor


def test_a_dry_run_and_what_is_owed_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = make_cxr()
    desk = open_desk(tmp_path, [])
    receive(desk, film)
    before, on_disk = rows(desk.ledger), files(tmp_path)
    url = desk.settings.ledger_url

    dry = run(tmp_path, film.StudyInstanceUID, "--dry-run", "--json", monkeypatch=monkeypatch, url=url)
    refused = run(tmp_path, film.StudyInstanceUID, monkeypatch=monkeypatch, url=url)

    assert json.loads(dry.output)["instances"] == 1
    assert film.StudyInstanceUID not in dry.output
    assert isinstance(refused.exception, StillOwed)
    assert (rows(desk.ledger), files(tmp_path)) == (before, on_disk)
    assert told(tmp_path / "audit") == []


def test_nobody_erases_what_a_worker_has(tmp_path: Path) -> None:
    """Red without `_require_rest`."""
    film = make_cxr()
    desk = open_desk(tmp_path, [])
    receive(desk, film)
    arrivals.close_settled(desk.ledger, 20.0, NOW)
    (task,) = work.due(desk.ledger, NOW, {})
    work.lease(desk.ledger, task.task_key, NOW, 600)

    with pytest.raises(StillOwed, match="a worker has study"):
        erasures.whole(desk.ledger, film.StudyInstanceUID, NOW)
    assert erasures.whole(desk.ledger, film.StudyInstanceUID, NOW + timedelta(hours=1)).owes


def test_a_trail_that_cannot_be_written_erases_nothing(
    tmp_path: Path, pacs: FakePacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_cxr()
    desk = lived(tmp_path, pacs, [film])
    on_disk = files(tmp_path)
    for file in (tmp_path / "audit").iterdir():
        file.unlink()
    (tmp_path / "audit").rmdir()
    (tmp_path / "audit").write_text("in the way")

    result = run(tmp_path, film.StudyInstanceUID, monkeypatch=monkeypatch, url=desk.settings.ledger_url)

    assert isinstance(result.exception, AuditUnavailable)
    assert files(tmp_path) == on_disk
    assert study_key_of(desk.ledger, film.StudyInstanceUID)


def test_cut_off_half_way_the_same_command_ends_it(
    tmp_path: Path, pacs: FakePacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when the rows go before the bytes."""
    film = make_cxr()
    desk = lived(tmp_path, pacs, [film, remade(film, SOPInstanceUID="1.2.826.99.2")])
    url = desk.settings.ledger_url
    with patch("cxrnode.spool.Spool.purge_results", side_effect=OSError(30, "Read-only file system")):
        failed = run(tmp_path, film.StudyInstanceUID, monkeypatch=monkeypatch, url=url)
    assert isinstance(failed.exception, CxrNodeError)
    assert "Read-only file system" in str(failed.exception)

    result = run(tmp_path, film.StudyInstanceUID, monkeypatch=monkeypatch, url=url)

    assert result.exit_code == 0, result.output
    assert account(desk.ledger, desk.spool).total == 0
    assert [one.event for one in told(tmp_path / "audit")].count("DICOM Study Deleted") == 2


def test_what_comes_again_after_that_is_new(tmp_path: Path, pacs: FakePacs, monkeypatch: pytest.MonkeyPatch) -> None:
    film = make_cxr()
    desk = lived(tmp_path, pacs, [film])
    before = study_key_of(desk.ledger, film.StudyInstanceUID)
    run(tmp_path, film.StudyInstanceUID, monkeypatch=monkeypatch, url=desk.settings.ledger_url)

    receive(desk, film)

    after = study_key_of(desk.ledger, film.StudyInstanceUID)
    assert after not in {None, before}
    assert account(desk.ledger, desk.spool).balanced


def test_a_plan_of_a_replay_keeps_its_count_and_forgets_the_study(tmp_path: Path, pacs: FakePacs) -> None:
    """Red when `_disguise` is left out."""
    film = make_cxr()
    desk = lived(tmp_path, pacs, [film])
    entry = json.dumps({"study": film.StudyInstanceUID, "accession": "ACC-1"})
    with desk.ledger.writing() as db:
        db.execute(
            text(
                "INSERT INTO replays (key, request, head, model, send, again, made_at) "
                "VALUES ('r', 'q', '{}', '', 1, 0, '2026-01-01 00:00:00')"
            )
        )
        values = {"replay_key": "r", "number": 1, "study_instance_uid": film.StudyInstanceUID, "entry": entry}
        db.execute(planned.insert().values(**values, step=Step.READING, due_at=NOW))
    key = str(study_key_of(desk.ledger, film.StudyInstanceUID))
    with pytest.raises(StillOwed, match="a replay has study"):
        erasures.erase(desk.ledger, key, NOW, lambda _: None)
    with desk.ledger.writing() as db:
        db.execute(planned.update().values(step=Step.DONE))

    erasures.erase(desk.ledger, key, NOW, lambda _: None)

    left = rows(desk.ledger)["planned"]
    assert film.StudyInstanceUID not in left
    assert "ACC-1" not in left
    assert "2.25." in left
