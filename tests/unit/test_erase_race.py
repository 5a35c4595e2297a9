"""A study that is erased while its sender sends it once more: the copy is gone with it, or is a new study, whole."""

import shutil
from pathlib import Path
from unittest.mock import patch

import pytest

from cxrnode.complete import enter
from cxrnode.ledger import arrivals, erasures
from cxrnode.ledger.account import account, recount
from cxrnode.ledger.erasures import Whole
from cxrnode.receiving.intake import keep
from tests.ledgers import T0, Bench


def erase(bench: Bench, key: str) -> None:
    with bench.ledger.reading() as db:
        study = db.exec_driver_sql("SELECT key FROM studies").scalar_one()

    def remove(found: Whole) -> None:
        assert found.instances == (key,)
        bench.spool.erase(key)

    erasures.erase(bench.ledger, study, T0, remove)


def test_a_copy_that_was_known_for_one_just_before_leaves_no_row_without_its_image(bench: Bench) -> None:
    """Red when a receipt is entered without a look whether there is an image: the account would never sum again."""
    key = bench.arrive("1.1")
    again = keep(bench.spool, b"x", bench.spool.receipt(key))
    erase(bench, key)

    assert enter(bench.ledger, [again], bench.spool) == 0

    assert (account(bench.ledger, bench.spool).total, recount(bench.ledger, bench.spool).total.balanced) == (0, True)


def test_a_copy_that_comes_in_mid_removal_is_kept_whole(bench: Bench) -> None:
    """Red when the image goes before its folder: the copy would be taken for a duplicate of bytes that are gone."""
    key = bench.arrive("1.1")
    receipt, removed = bench.spool.receipt(key), shutil.rmtree
    came: list[bool] = []

    def slow(folder: Path, **words: bool) -> None:
        if key in folder.name and not came:
            came.append(bench.spool.store(b"x", receipt))
        removed(folder, **words)

    with patch("cxrnode.spool.shutil.rmtree", side_effect=slow):
        erase(bench, key)

    assert came == [True]
    assert enter(bench.ledger, [receipt], bench.spool) == 1
    assert bench.spool.image(key).read_bytes() == b"x"
    assert recount(bench.ledger, bench.spool).total.balanced
    assert not list((bench.spool.root / "incoming").iterdir())


def test_what_was_cut_off_in_mid_removal_goes_when_it_is_tried_again(bench: Bench) -> None:
    key = bench.arrive("1.1")
    failing = patch("cxrnode.spool.shutil.rmtree", side_effect=OSError(30, "Read-only file system"))
    with failing, pytest.raises(OSError, match="Read-only"):
        bench.spool.erase(key)

    bench.spool.erase(key)

    assert not list(bench.spool.root.rglob("*.dcm"))


def test_a_purged_image_that_comes_again_is_known_as_before(bench: Bench) -> None:
    """Whose bytes are gone by rule has a row: it is none of those that were erased."""
    key = bench.arrive("1.1")
    bench.spool.purge_image(key)

    assert enter(bench.ledger, [bench.spool.receipt(key)], bench.spool) == 0
    assert arrivals.known(bench.ledger) == {key}
