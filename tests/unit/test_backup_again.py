"""Backups night after night, and a restore where something is there already: nothing piles up, nothing is lost."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cxrnode.audit.recorder import Recorder, folder_of
from cxrnode.backup import making
from cxrnode.backup.making import make
from cxrnode.backup.restoring import bring
from cxrnode.errors import Retryable, Unreadable
from cxrnode.ledger.account import recount
from cxrnode.settings import Settings
from tests.audits import told
from tests.builders import make_cxr
from tests.databases import SQLITE, ledger_url
from tests.desks import read_all, receive
from workers.desk import Desk

NOW = datetime(2026, 1, 3, tzinfo=UTC)


def settings_of(folder: Path, **receiving: float) -> Settings:
    return Settings(
        node={"state_dir": folder},
        receiving={"reserve_gb": 0} | receiving,
        ledger={"url": ledger_url(folder, SQLITE)},
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A node with one study that was read."""
    made = Desk(settings_of(tmp_path / "old"))
    receive(made, make_cxr())
    read_all(made)
    return made


def test_what_a_backup_that_was_killed_has_left_is_removed_by_the_next_whatever_it_is_called(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when the draft of the same name alone is removed: a killed night's copy would stay for ever, unseen.

    One that another node, or host, makes in the same folder just now stays.
    """

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    nights = tmp_path / "nights"
    with monkeypatch.context() as patch:
        patch.setattr(making, "write_sums", killed)
        patch.setattr(making.shutil, "rmtree", lambda *_args, **_words: None)
        with pytest.raises(Killed):
            make(desk.settings, nights / "monday", NOW)
    (left,) = nights.iterdir()
    others = nights / ".monday.00000000.backup.draft"
    assert others.suffixes[-2:] == left.suffixes[-2:]
    others.mkdir()

    make(desk.settings, nights / "tuesday", NOW)

    assert {path.name for path in nights.iterdir()} == {"tuesday", others.name}


@pytest.mark.usefixtures("desk")
def test_a_backup_on_the_spools_own_disk_leaves_it_its_reserve(tmp_path: Path) -> None:
    """Red when it fills the disk to the last byte: every image would be refused until somebody comes."""
    greedy = settings_of(tmp_path / "old", reserve_gb=1e6)

    with pytest.raises(Retryable, match=r"receiving\.reserve_gb"):
        make(greedy, tmp_path / "kept", NOW)

    assert not [path for path in tmp_path.iterdir() if "kept" in path.name]


@pytest.mark.parametrize("since", ["another trail", "the same trail"])
def test_a_trail_that_is_there_already_is_joined_and_loses_nothing(desk: Desk, tmp_path: Path, since: str) -> None:
    """Red when what is in the backup is left out because a line is there: a service that was started leaves one."""
    recorder = Recorder(desk.settings, "receiver")
    recorder.refused("BEFORE", "10.0.0.1", "yesterday", datetime(2026, 1, 2, tzinfo=UTC))
    recorder.refused("BEFORE", "10.0.0.1", "today", NOW)
    make(desk.settings, tmp_path / "kept", NOW)
    new = settings_of(tmp_path / "new")
    if since == "the same trail":
        bring(new, tmp_path / "kept")
        for path in (*(new.node.spool_dir).rglob("*"), *new.node.state_dir.glob("ledger*")):
            if path.is_file():
                path.unlink()
    Recorder(new, "receiver").refused("SINCE", "10.0.0.1", "a start", NOW)

    bring(new, tmp_path / "kept")

    trail = told(folder_of(new))
    assert [one.requestor for one in trail] == ["BEFORE", "BEFORE", "SINCE"]
    assert not list(new.node.state_dir.rglob("*.restoring"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_restores_is_the_nodes(desk: Desk, tmp_path: Path) -> None:
    """Red when it stays root's: the services, which are nobody of importance, could open none of it."""
    make(desk.settings, tmp_path / "kept", NOW)
    state = tmp_path / "new"
    state.mkdir(mode=0o700)
    os.chown(state, 4711, 4712)

    bring(settings_of(state), tmp_path / "kept")

    assert {(path.stat().st_uid, path.stat().st_gid) for path in state.rglob("*")} == {(4711, 4712)}
    assert (state / "ledger.sqlite").exists()


def test_where_there_is_no_better_backup_all_that_is_whole_is_restored(desk: Desk, tmp_path: Path) -> None:
    """Red when one byte that has rotted, in every backup that links to it, costs the hospital all of them."""
    receive(desk, make_cxr())
    read_all(desk)
    make(desk.settings, tmp_path / "kept", NOW)
    rotten = next((tmp_path / "kept" / "spool" / "instances").rglob("image.dcm"))
    rotten.write_bytes(rotten.read_bytes()[:-1] + b"?")
    lost = next((tmp_path / "kept" / "spool" / "results").rglob("*.dcm"))
    lost.unlink()
    new = settings_of(tmp_path / "new")
    with pytest.raises(Unreadable):
        bring(new, tmp_path / "kept")

    _, damaged = bring(new, tmp_path / "kept", all_that_is_whole=True)

    names = sorted(str(path.relative_to(tmp_path / "kept")) for path in (rotten, lost))
    assert sorted(damaged) == names
    restored = Desk(new)
    assert not any((tmp_path / "new" / name).exists() for name in names)
    assert len(list((tmp_path / "new" / "spool" / "instances").rglob("image.dcm"))) == 1
    told_now = recount(restored.ledger, restored.spool)
    assert (told_now.total.total, told_now.total.balanced) == (2, True)


def test_without_a_whole_ledger_nothing_is_restored(desk: Desk, tmp_path: Path) -> None:
    make(desk.settings, tmp_path / "kept", NOW)
    (tmp_path / "kept" / "ledger.sqlite").write_bytes(b"SQLite format 3")

    with pytest.raises(Unreadable, match=r"ledger\.sqlite has other bytes"):
        bring(settings_of(tmp_path / "new"), tmp_path / "kept", all_that_is_whole=True)
