"""A node on a small disk that fills up: it refuses in time, finishes what it has, and goes on by itself."""

import shutil
from collections.abc import Callable
from pathlib import Path

from cxrnode.deliver import send
from tests.builders import make_cxr
from tests.disks import MB, fill, small_disk
from tests.fakes import FakePacs
from tests.invariants import unkept
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
        films, answers = [], []
        while FULL not in answers:
            films.append(saved(make_cxr(), tmp_path / f"{len(films)}.dcm"))
            answers.append(push(node, films[-1]))
        assert shutil.disk_usage(disk).free > RESERVE - 2 * MB
        refused, taken = films.pop(), len(films)
        full = node.wait_until_finished(taken)
        assert list((disk / "spool" / "incoming").iterdir()) == []
        assert list((disk / "spool" / "results").rglob("*.draft")) == []

        ballast.unlink()
        assert push(node, refused) == 0
        resumed = node.wait_until_finished(taken + 1)
        assert unkept(node.settings, [*films, refused]) == []

    assert answers == [0] * taken + [FULL]
    assert taken >= 2
    for status, count in ((full, taken), (resumed, taken + 1)):
        assert (status["balanced"], status["received"]) == (True, count)
        assert [line["deliveries"] for line in status["rounds"]] == [{"fake": "2 accepted"}] * count
    uids = {uid for uid, _ in pacs.attempts}
    assert len(uids) == len(pacs.attempts) == len(pacs.stored) == 2 * (taken + 1)


def push(node: RunningNode, film: Path) -> int | None:
    """Send a film; what the node answers."""
    answers: list[int | None] = []
    send([film], node.receiver, "MODALITY", lambda _index, sent: answers.append(sent.status))
    (answer,) = answers
    return answer
