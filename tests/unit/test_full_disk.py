"""A disk that is really full: nothing half-written stays or counts, nothing is lost, and room is enough to go on."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from unittest.mock import patch

import pytest

from cxrnode.complete import give_up_exhausted
from cxrnode.errors import SpoolFull
from cxrnode.ledger.account import account
from cxrnode.ledger.roundlines import round_lines
from cxrnode.spool import Spool
from tests.builders import make_cxr
from tests.desks import open_desk, read_all, receive
from tests.disks import MB, fill, small_disk
from tests.unit.test_spool import RECEIPT
from workers.desk import Desk

GIB = 1024**3


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 16) as mounted:
        yield mounted


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_disk_that_fills_in_the_middle_of_an_image_keeps_nothing_of_it(disk: Path) -> None:
    """Red without the rmtree in `Spool.store`."""
    spool = Spool(disk / "spool")
    receipt = replace(RECEIPT, key=spool.key_for("1.2.3"))
    ballast = fill(disk, leave=MB // 2)

    with patch.object(Spool, "require_room"), pytest.raises(OSError, match="No space left"):  # there was room just now
        spool.store(bytes(2 * MB), receipt)
    assert list(spool.keys()) == []
    assert files(spool.root) == [spool.root / "salt"]
    ballast.unlink()
    assert spool.store(bytes(2 * MB), receipt)


def test_images_that_come_together_leave_the_reserve_alone(disk: Path) -> None:
    """Red when `room_for` does not count what is coming: each sees room that the others are about to take."""
    spool = Spool(disk / "spool", reserve_gb=8 * MB / GIB)
    together, refused = Barrier(6), []
    real = Spool.room_for

    @contextmanager
    def slowly(spool: Spool, size: int) -> Iterator[None]:
        image = size == 2 * MB  # and no receipt
        try:
            with real(spool, size):
                if image:
                    together.wait(5)
                yield
        except SpoolFull:
            if image:
                together.wait(5)
            raise

    def store(number: int) -> None:
        try:
            spool.store(bytes(2 * MB), replace(RECEIPT, key=spool.key_for(f"1.2.{number}")))
        except SpoolFull:
            refused.append(number)

    with patch.object(Spool, "room_for", slowly):
        threads = [Thread(target=store, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(refused) == 6 - len(list(spool.keys())) > 0
    assert shutil.disk_usage(disk).free >= 8 * MB


def test_a_result_that_does_not_fit_leaves_nothing_behind(disk: Path) -> None:
    """Red without the unlink in `Spool.keep_result`."""
    spool = Spool(disk / "spool")
    kept = spool.keep_result("a" * 32, "report", b"kept")
    ballast = fill(disk, leave=MB // 2)

    with pytest.raises(SpoolFull, match="no room for a result"):
        spool.keep_result("a" * 32, "overlay", bytes(2 * MB))
    assert files(spool.root / "results") == [kept]
    ballast.unlink()
    spool.keep_result("a" * 32, "overlay", bytes(2 * MB))


@pytest.fixture
def desk(disk: Path) -> Iterator[Desk]:
    opened = open_desk(disk, [])
    yield opened
    opened.ledger.close()


def test_an_analysis_whose_results_do_not_fit_is_put_back_however_often_and_ends_once_they_do(
    disk: Path, desk: Desk
) -> None:
    """Red when the attempt counts (`counts and`, or `counts=counts`, left out), and when `_write` is not caught."""
    once = desk.settings.queue.model_copy(update={"max_attempts": 1})
    desk.settings = desk.settings.model_copy(update={"queue": once})
    receive(desk, make_cxr())
    ballast = fill(disk, leave=MB // 2)  # the ledger has room, an overlay has not
    later = datetime.now(UTC) + timedelta(days=1)

    for _ in range(3):
        read_all(desk, now=later)
        give_up_exhausted(desk.ledger, once.max_attempts, later)
        (line,) = round_lines(desk.ledger)
        assert (line.state, line.last_error, line.objects) == ("ready", "SpoolFull", 0)
    told = account(desk.ledger, desk.spool)
    assert told.balanced
    assert [one.place for one in told.lines] == ["waiting for analysis"]

    ballast.unlink()
    read_all(desk, now=later)
    (line,) = round_lines(desk.ledger)
    assert (line.outcome, line.objects, line.last_error) == ("positive", 6, "")
