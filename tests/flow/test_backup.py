"""A node is backed up while it works, loses everything, is restored on a bare machine, and goes on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.builders import make_cxr
from tests.databases import drop_made, ledger_url
from tests.fakes import FakePacs
from tests.invariants import unkept
from tests.nodes import running_node, saved

SOON = {"first_retry_s": 1.0, "longest_retry_s": 2.0}


def test_a_node_that_lost_everything_is_restored_and_sends_what_it_owed_and_nothing_twice(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Red when the backup leaves out `results`: what was owed could not be sent, and is not read again."""
    record_property("matrix", ("a backup is made", "everything is lost and restored", "I1, I2, I3"))
    films = [saved(make_cxr(), tmp_path / f"{number}.dcm") for number in range(4)]
    live, late = FakePacs(), FakePacs()
    with late.listening():
        away = late.destination(name="late", timeout_s=2)  # what listened there has ended before anything is sent
    kept = tmp_path / "kept"
    with live.listening():
        with running_node(tmp_path, live.destination(name="live"), away, delivery=SOON) as node:
            for film in films[:3]:
                node.push(film)
            node.wait_until(lambda _: len(live.stored) == 3 * 2)
            made = node.cxrnode("backup", str(kept), "--json")
            assert made.returncode == 0, made.stderr
            node.push(films[3])
            node.wait_until(lambda _: len(live.stored) == 4 * 2)
        shutil.rmtree(tmp_path / "state")
        drop_made()
        ledger_url(tmp_path / "state")  # an empty one, where it is a server's
        assert node.cxrnode("restore", str(kept)).returncode == 0
        with (
            late.listening(late.port),
            running_node(tmp_path, live.destination(name="live"), away, delivery=SOON) as node,
        ):
            node.push(films[3])
            node.wait_until_finished(4)
            assert unkept(node.settings, films) == []

    assert json.loads(made.stdout)["instances"] == 3
    twice = len(live.attempts) - len({uid for uid, _ in live.attempts})
    assert (len(live.attempts), twice) == (5 * 2, 0), "the one that came after the backup was read anew"
    assert len({uid for uid, _ in late.attempts}) == len(late.attempts) == 4 * 2
    assert {uid for uid, _ in live.attempts[:6]} < {uid for uid, _ in late.attempts}, "the very objects that it owed"
