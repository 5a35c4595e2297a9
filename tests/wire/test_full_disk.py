"""A disk that fills while an image is written, on the wire: refused, and taken when it is sent again."""

from pathlib import Path
from unittest.mock import patch

from cxrnode.receive import StoreStatus
from cxrnode.spool import Spool
from tests.builders import make_cxr
from tests.disks import fill, small_disk
from tests.wire.test_receive import Bench


def test_an_image_that_did_not_fit_after_all_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    film = make_cxr()
    with small_disk(tmp_path / "disk", 8) as disk:
        bench = Bench(disk)
        ballast = fill(disk, leave=64 * 1024)
        bench.receiver.start()
        try:
            with patch.object(Spool, "require_room"):  # there was room when it was asked for
                (refused,) = bench.send(film)
            assert (list(bench.spool.keys()), bench.receipts) == ([], [])
            assert list((bench.spool.root / "incoming").iterdir()) == []
            ballast.unlink()
            (taken,) = bench.send(film)
        finally:
            bench.receiver.stop()

        assert refused.Status == StoreStatus.OUT_OF_RESOURCES
        assert refused.ErrorComment == "Cannot write: No space left on device"
        assert taken.Status == StoreStatus.SUCCESS
        assert len(bench.receipts) == len(list(bench.spool.keys())) == 1
