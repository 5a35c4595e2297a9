"""A backup holds everything as it was at one moment, whatever goes on meanwhile; what is damaged is not restored."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from cxrnode.backup import making, restoring
from cxrnode.backup.contents import LABEL
from cxrnode.backup.duplicate import SUMS, read_sums
from cxrnode.backup.making import make
from cxrnode.backup.restoring import bring
from cxrnode.commands.erase import erase
from cxrnode.complete import sweep
from cxrnode.errors import CxrNodeError, Retryable, SettingsError, StillOwed, Unreadable
from cxrnode.ledger import copies
from cxrnode.ledger.account import account, recount
from cxrnode.ledger.naming import study_key_of
from cxrnode.ledger.tables import instances, objects, purges
from cxrnode.retention import purge
from cxrnode.settings import Settings
from tests.builders import make_cxr
from tests.databases import KINDS, POSTGRESQL, SQLITE, drop_made, ledger_url
from tests.desks import read_all, receive, turn
from tests.fakes import FakePacs
from tests.peers import program
from workers.desk import Desk

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=30)


def settings_of(folder: Path, kind: str, *pacs: FakePacs) -> Settings:
    """A node with its state in `folder`."""
    return Settings(
        node={"state_dir": folder},
        receiving={"reserve_gb": 0},
        ledger={"url": ledger_url(folder, kind)},
        destinations=[one.destination(commitment="off") for one in pacs],
    )


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param
    drop_made()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A node with one study that was read; its ledger is a file."""
    desk = Desk(settings_of(tmp_path / "old", SQLITE))
    receive(desk, make_cxr())
    read_all(desk)
    return desk


def files(folder: Path) -> dict[str, bytes]:
    """What lies below a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def missing(desk: Desk) -> list[str]:
    """What the ledger speaks of and is not on the disk."""
    with desk.ledger.reading() as db:
        images = [desk.spool.image(key) for key in db.execute(select(instances.c.key)).scalars()]
        results = [desk.spool.result(row.round_key, row.file) for row in db.execute(select(objects))]
    return [str(path) for path in (*images, *results) if not path.exists()]


def test_a_node_that_lost_everything_goes_on_where_the_backup_was_made(tmp_path: Path, kind: str) -> None:
    """Red when the deliveries' rows or the results' bytes are not in it: things would be sent twice, or otherwise."""
    pacs = FakePacs()
    with pacs.listening():
        old = Desk(settings_of(tmp_path / "old", kind, pacs))
        sent, owed, unread, unknown = (make_cxr() for _ in range(4))
        receive(old, sent)
        read_all(old)
        turn(old)
        receive(old, owed)
        read_all(old)
        receive(old, unread)
        receive(old, unknown, ledger_away=True)
        before, attempted = files(old.spool.root), len(pacs.attempts)
        label = make(old.settings, tmp_path / "kept", NOW)
        old.ledger.close()
        shutil.rmtree(tmp_path / "old")

        new = Desk(settings_of(tmp_path / "new", kind, pacs))
        shutil.rmtree(tmp_path / "new")  # as bare as a new machine
        bring(new.settings, tmp_path / "kept")

        assert label.instances == 4
        assert files(new.spool.root) == before
        assert missing(new) == []
        assert sweep(new.spool, new.ledger) == 1, "what the ledger did not know yet"
        turn(new)
        assert len(pacs.attempts) == attempted + 2, "report and overlay of the one study, and nothing again"
        read_all(new, now=NOW)
        turn(new)
    assert len({uid for uid, _ in pacs.attempts}) == len(pacs.attempts) == 4 * 2
    assert recount(new.ledger, new.spool).total.balanced
    assert account(new.ledger, new.spool).total == 4


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_comes_in_while_the_backup_is_made_leaves_nothing_without_its_bytes(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Red when the spool is copied before the ledger."""
    late = make_cxr()

    def copy_out(url: str, file: Path) -> None:
        if moment == "before":
            receive(desk, late)
            read_all(desk)
        copies.copy_out(url, file)
        if moment == "after":
            receive(desk, late)
            read_all(desk)

    monkeypatch.setattr(making, "copy_out", copy_out)
    make(desk.settings, tmp_path / "kept", NOW)
    new = Desk(settings_of(tmp_path / "new", SQLITE))
    bring(new.settings, tmp_path / "kept")

    assert missing(new) == []
    assert sweep(new.spool, new.ledger) == (moment == "after")
    assert recount(new.ledger, new.spool).total.balanced


def test_nothing_is_removed_while_a_backup_is_made(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when `purge` or `erase` does not ask for the lock: the ledger's copy would speak of bytes that are gone."""
    study = study_key_of(desk.ledger, _study(desk)) or ""

    def copy_out(url: str, file: Path) -> None:
        copies.copy_out(url, file)
        assert purge(desk.ledger, desk.spool, 1.0, LATER) == 0
        with pytest.raises(StillOwed, match="a backup is being made"):
            erase(desk.settings, study, dry_run=False, owed_too=True, as_json=False)

    monkeypatch.setattr(making, "copy_out", copy_out)
    make(desk.settings, tmp_path / "kept", NOW)
    assert missing(desk) == []

    assert purge(desk.ledger, desk.spool, 1.0, LATER) == 1
    with desk.ledger.reading() as db:
        assert db.execute(select(purges.c.removed_at)).scalar_one() == LATER


def test_it_is_for_its_owner_alone_and_sha256sum_says_that_it_is_whole(desk: Desk, tmp_path: Path) -> None:
    make(desk.settings, tmp_path / "kept", NOW)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    folders = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "kept").rglob("*") if path.is_dir()}
    assert (modes, folders | {stat.S_IMODE((tmp_path / "kept").stat().st_mode)}) == ({0o600}, {0o700})
    said = subprocess.run([program("sha256sum"), "--check", "--strict", SUMS], cwd=tmp_path / "kept", check=False)
    assert said.returncode == 0
    assert set(read_sums(tmp_path / "kept")) == set(files(tmp_path / "kept")) - {LABEL, SUMS}


def _rot(kept: Path) -> None:
    image = next((kept / "spool" / "instances").rglob("image.dcm"))
    there = image.read_bytes()
    image.write_bytes(there[:-1] + bytes([there[-1] ^ 1]))


def _lose(kept: Path) -> None:
    next((kept / "spool" / "results").rglob("*.dcm")).unlink()


def _forget(kept: Path) -> None:
    lines = (kept / SUMS).read_text().splitlines(keepends=True)
    (kept / SUMS).write_text("".join(lines[:-1]))


def _climb(kept: Path) -> None:
    (kept / SUMS).write_text(f"{'0' * 64}  ../elsewhere\n")


def _unlabel(kept: Path) -> None:
    (kept / LABEL).unlink()


DAMAGE: dict[Callable[[Path], None], str] = {
    _rot: r"image\.dcm has other bytes than were written",
    _lose: r"\.dcm has other bytes than were written, or none",
    _forget: "is not the list that the backup was made with",
    _climb: "is no sha256 and name of a file within the folder",
    _unlabel: "is no backup",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda one: one.__name__)
def test_a_damaged_backup_is_not_restored_and_nothing_is_in_its_place(
    desk: Desk, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Red when the sha256 of what is copied is not held against the list."""
    make(desk.settings, tmp_path / "kept", NOW)
    damage(tmp_path / "kept")

    with pytest.raises(Unreadable, match=DAMAGE[damage]):
        bring(settings_of(tmp_path / "new", SQLITE), tmp_path / "kept")
    assert files(tmp_path / "new") == {}


def test_what_is_there_is_not_overwritten(desk: Desk, tmp_path: Path) -> None:
    make(desk.settings, tmp_path / "kept", NOW)

    with pytest.raises(SettingsError, match="holds files; wanted nothing there"):
        bring(desk.settings, tmp_path / "kept")
    shutil.rmtree(desk.spool.root)
    for left in ("ledger.sqlite", "ledger.sqlite-wal"):
        with pytest.raises(SettingsError, match="there is a ledger already"):
            bring(desk.settings, tmp_path / "kept")
        desk.ledger.close()
        (tmp_path / "old" / left).unlink(missing_ok=True)
        (tmp_path / "old" / "ledger.sqlite-wal").write_bytes(b"what a crash leaves")
    with pytest.raises(SettingsError, match="there already"):
        make(desk.settings, tmp_path / "kept", NOW)


@pytest.mark.skipif(POSTGRESQL not in KINDS or SQLITE not in KINDS, reason="wants both kinds of ledger")
def test_a_backup_of_the_other_kind_of_ledger_is_refused(desk: Desk, tmp_path: Path) -> None:
    make(desk.settings, tmp_path / "kept", NOW)

    with pytest.raises(SettingsError, match=r"ledger\.url is PostgreSQL, and the backup's ledger is of a SQLite file"):
        bring(settings_of(tmp_path / "new", POSTGRESQL), tmp_path / "kept")
    drop_made()


def test_an_earlier_backup_is_linked_to_where_nothing_has_changed(desk: Desk, tmp_path: Path) -> None:
    """Red when size and time of change are not asked: an image that came again otherwise would stay the old one."""
    make(desk.settings, tmp_path / "one", NOW)
    old = {path.name for path in (desk.spool.root / "instances").rglob("*")}
    image = next((desk.spool.root / "instances").rglob("image.dcm"))
    changed = bytes(reversed(image.read_bytes()))
    image.write_bytes(changed)
    os.utime(image, (0, 0))
    receive(desk, make_cxr())
    make(desk.settings, tmp_path / "two", NOW)

    linked = {name for name in files(tmp_path / "two") if (tmp_path / "two" / name).stat().st_nlink == 2}
    names = {Path(name).name for name in linked}
    assert "receipt.json" in names
    assert "image.dcm" not in names, "one has changed, and the other is new"
    assert not any(Path(name).parent.name not in old for name in linked if name.endswith("receipt.json"))
    shutil.rmtree(tmp_path / "one")
    shutil.rmtree(tmp_path / "old")
    bring(settings_of(tmp_path / "new", SQLITE), tmp_path / "two")
    again = tmp_path / "new" / "spool" / image.relative_to(desk.spool.root)
    assert again.read_bytes() == changed


def test_a_full_disk_leaves_no_half_of_a_backup_nor_of_a_node(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(desk.settings, tmp_path / "kept", NOW)

    def full(_source: Path, target: Path) -> str:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(making, "copy", full)
    with pytest.raises(Retryable, match="No space left"):
        make(desk.settings, tmp_path / "two", NOW)
    monkeypatch.setattr(restoring, "copy", full)
    with pytest.raises(Retryable, match="No space left"):
        bring(settings_of(tmp_path / "new", SQLITE), tmp_path / "kept")

    assert sorted(path.name for path in tmp_path.iterdir() if path.name.endswith((".draft", "two"))) == []
    assert files(tmp_path / "new") == {}


def test_a_password_is_on_no_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when the URL is handed to pg_dump as it is."""
    spy = tmp_path / "bin" / "pg_dump"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\necho "$PGPASSWORD" > {tmp_path}/password\n')
    spy.chmod(0o700)
    monkeypatch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")

    copies.copy_out("postgresql://cxrnode:s%40cret@db.example/node?sslmode=verify-full", tmp_path / "copy")

    words = (tmp_path / "words").read_text()
    assert "s@cret" not in words
    assert "s%40cret" not in words
    assert "sslmode=verify-full" in words
    assert (tmp_path / "password").read_text() == "s@cret\n"


def test_without_postgresqls_programs_it_says_what_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CxrNodeError, match="no pg_dump on PATH; wanted PostgreSQL's client programs"):
        copies.copy_out("postgresql://cxrnode@db.example/node", tmp_path / "copy")


def _study(desk: Desk) -> str:
    (receipt,) = (desk.spool.receipt(key) for key in sorted(desk.spool.keys()))
    return receipt.study_instance_uid
