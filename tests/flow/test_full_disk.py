"""A node on a small disk that fills up: it refuses in time, finishes what it has, and goes on by itself."""

import shutil
from collections.abc import Callable
from pathlib import Path

from pydicom import Dataset

from cxrnode.deliver import send
from tests.builders import make_cxr
from tests.disks import MB, fill, small_disk
from tests.fakes import FakePacs
from tests.nodes import RunningNode, running_node, saved

RESERVE = 12 * MB
SMALL = {"overlay_longest_side": 256}
FULL = 0xA700


def test_a_node_refuses_before_its_disk_is_full_finishes_what_it_has_and_resumes(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("matrix", ("written, before fsync", "disk full", "I1, I2, I3"))
    receiving = {"reserve_gb": RESERVE / 1024**3}
    with (
        small_disk(tmp_path / "state", 40) as disk,
        FakePacs().listening() as pacs,
        running_node(tmp_path, pacs.destination(), receiving=receiving, results=SMALL) as node,
    ):
        ballast = fill(disk, leave=RESERVE + MB)
        answers = []
        while FULL not in answers:
            answers += push(node, make_cxr(), tmp_path)
        assert shutil.disk_usage(disk).free > RESERVE - 2 * MB
        taken = answers.count(0)
        full = node.wait_until_finished(taken)
        assert list((disk / "spool" / "incoming").iterdir()) == []
        assert list((disk / "spool" / "results").rglob("*.draft")) == []

        ballast.unlink()
        assert push(node, make_cxr(), tmp_path) == [0]
        resumed = node.wait_until_finished(taken + 1)

    assert set(answers) == {0, FULL}
    assert taken >= 2
    for status, count in ((full, taken), (resumed, taken + 1)):
        assert (status["balanced"], status["received"]) == (True, count)
        assert [line["deliveries"] for line in status["rounds"]] == [{"fake": "2 accepted"}] * count
    assert len(pacs.stored) == 2 * (taken + 1)


def push(node: RunningNode, film: Dataset, folder: Path) -> list[int]:
    """Send a film; what the node answers."""
    answers: list[int] = []
    file = saved(film, folder / "film.dcm")
    send([file], node.receiver, "MODALITY", lambda _index, sent: answers.append(sent.status or 0))
    return answers
