"""The spool: durable, whole or not at all, and no UID climbs out of it."""

import errno
import os
from dataclasses import replace
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrnode import draft
from cxrnode.errors import SpoolFull, Unreadable
from cxrnode.receipt import Receipt
from cxrnode.spool import UID_PATTERN, Spool

RECEIPT = Receipt(
    key="",
    sop_instance_uid="1.2.3",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
    study_instance_uid="1.2",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    sha256="0" * 64,
    size=5,
    calling_ae="A",
    called_ae="B",
    address="127.0.0.1",
    association="1",
    received_at="2026-01-02T10:00:00+00:00",
)


@given(st.one_of(st.text(max_size=80), st.sampled_from(["1.2/../../3", "../1", "1..2", "", "1.2.", "01.2", "1" * 65])))
def test_a_key_is_hex_or_the_uid_is_refused(tmp_path_factory: pytest.TempPathFactory, uid: str) -> None:
    spool = Spool(tmp_path_factory.getbasetemp() / "keys")
    if UID_PATTERN.fullmatch(uid) and len(uid) <= 64:
        key = spool.key_for(uid)
        assert set(uid) <= set("0123456789.")
        assert spool.image(key).resolve().is_relative_to(spool.root.resolve())
    else:
        with pytest.raises(Unreadable, match="wanted digits and dots"):
            spool.key_for(uid)


def test_keys_differ_between_nodes_and_stay_within_one(tmp_path: Path) -> None:
    one, again, other = Spool(tmp_path / "a"), Spool(tmp_path / "a"), Spool(tmp_path / "b")

    assert one.key_for("1.2.3") == again.key_for("1.2.3")
    assert one.key_for("1.2.3") != other.key_for("1.2.3")


def test_an_instance_is_stored_once_and_the_first_bytes_stay(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    receipt = replace(RECEIPT, key=spool.key_for("1.2.3"))

    assert spool.store(b"first", receipt)
    assert not spool.store(b"other", receipt)

    assert spool.image(receipt.key).read_bytes() == b"first"
    assert spool.receipt(receipt.key) == receipt
    assert list(spool.keys()) == [receipt.key]


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    receipt = replace(RECEIPT, key=spool.key_for("1.2.3"))
    spool.store(b"first", receipt)
    result = spool.keep_result("ab" * 16, "report", b"x")

    for path in (spool.image(receipt.key), result, spool.root / "salt"):
        assert path.stat().st_mode & 0o077 == 0
    assert spool.image(receipt.key).parent.stat().st_mode & 0o077 == 0


def test_what_a_crash_left_half_written_is_no_instance_and_is_cleared(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    half = spool.root / "incoming" / "half"
    half.mkdir()
    (half / "image.dcm").write_bytes(b"fir")

    assert list(spool.keys()) == []
    assert Spool(tmp_path).clear_incoming() == 1
    assert not half.exists()


def test_a_receiver_that_starts_leaves_what_another_is_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when `clear_incoming` takes no lock, or `_incoming` holds none."""
    spool, starting = Spool(tmp_path), Spool(tmp_path)
    receipt = replace(RECEIPT, key=spool.key_for("1.2.3"))
    cleared = []
    monkeypatch.setattr("cxrnode.spool.reached", lambda _point: cleared.append(starting.clear_incoming()))

    assert spool.store(b"first", receipt)

    assert set(cleared) == {0}
    assert spool.image(receipt.key).read_bytes() == b"first"
    assert list((spool.root / "incoming").iterdir()) == []


def test_a_power_cut_after_success_finds_every_byte_and_every_name_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when any one fsync is left out, of a file or of a folder, or comes after the rename that it is for."""
    spool = Spool(tmp_path)
    receipt = replace(RECEIPT, key=spool.key_for("1.2.3"))
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_fsync(handle: int) -> None:
        fsync(handle)
        done.append(f"fsync {name_of(Path(f'/proc/self/fd/{handle}').readlink())}")

    def note_rename(path: Path, target: Path) -> Path:
        done.append("rename")
        return rename(path, target)

    def name_of(path: Path) -> str:
        names = {spool.root / "instances": "instances", spool.image(receipt.key).parent.parent: "shard"}
        return "incoming folder" if path.parent == spool.root / "incoming" else names.get(path, path.name)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    spool.store(b"first", receipt)

    before = ["fsync image.dcm", "fsync receipt.json", "fsync incoming folder", "fsync instances"]
    assert sorted(done[:-2]) == sorted(before), "at once, in any order, and all of them before the rename"
    assert done[-2:] == ["rename", "fsync shard"]


def test_folders_that_were_laid_out_cost_an_image_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when `lay_out` syncs before it has made them, or not at all, and when `store` syncs them again."""
    spool = Spool(tmp_path)
    receipt = replace(RECEIPT, key=spool.key_for("1.2.3"))
    done: list[str | int] = []
    fsync = os.fsync

    def note_fsync(handle: int) -> None:
        fsync(handle)
        there = Path(f"/proc/self/fd/{handle}").readlink()
        done.append(len(list(there.iterdir())) if there == tmp_path / "instances" else there.name)

    monkeypatch.setattr(os, "fsync", note_fsync)
    spool.lay_out()
    assert done == [256]
    assert list(spool.shards()) == []
    spool.store(b"first", receipt)

    assert done.count(256) == 1
    assert done[-1] == receipt.key[:2]


def test_folders_that_a_full_disk_does_not_take_are_made_when_they_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when `lay_out` raises, or takes folders for durable that are not there."""
    spool = Spool(tmp_path)
    receipt = replace(RECEIPT, key=spool.key_for("1.2.3"))
    with monkeypatch.context() as full:
        full.setattr(Path, "mkdir", _full)
        spool.lay_out()
    assert list((tmp_path / "instances").iterdir()) == []

    assert spool.store(b"first", receipt)
    assert list(spool.keys()) == [receipt.key]


def _full(path: Path, *_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def test_a_folder_that_another_made_and_did_not_sync_is_made_durable_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red: whoever found the folder there answered Success, though its name might not be on the disk yet."""
    spool = Spool(tmp_path)
    receipt = replace(RECEIPT, key=spool.key_for("1.2.3"))
    spool.image(receipt.key).parent.parent.mkdir()
    done: list[str] = []
    fsync = os.fsync

    def note_fsync(handle: int) -> None:
        fsync(handle)
        done.append(Path(f"/proc/self/fd/{handle}").readlink().name)

    monkeypatch.setattr(os, "fsync", note_fsync)
    spool.store(b"first", receipt)

    assert "instances" in done


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen red: the receipt was cut after the first few."""
    spool = Spool(tmp_path)
    receipt = replace(RECEIPT, key=spool.key_for("1.2.3"))

    class Slow(FileIO):
        def write(self, content: bytes) -> int:
            return super().write(bytes(content)[:5])

    monkeypatch.setattr(draft, "open", lambda path, mode, **_: Slow(path, mode), raising=False)
    monkeypatch.setattr(os, "writev", lambda handle, pieces: os.write(handle, pieces[0][:5]))
    spool.store(b"first and last", receipt)

    assert spool.image(receipt.key).read_bytes() == b"first and last"
    assert spool.receipt(receipt.key) == receipt


def test_a_disk_below_its_reserve_takes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, reserve_gb=10.0**9)

    with pytest.raises(SpoolFull, match="reserve_gb"):
        spool.store(b"first", replace(RECEIPT, key=spool.key_for("1.2.3")))
    assert list(spool.keys()) == []


def test_a_result_written_again_is_replaced_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path)

    spool.keep_result("ab" * 16, "report", b"one")
    path = spool.keep_result("ab" * 16, "report", b"two")

    assert path.read_bytes() == b"two"
    assert [file.name for file in path.parent.iterdir()] == ["report.dcm"]
