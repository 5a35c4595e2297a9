"""A whole node with two archives, one of them dead: the other notices nothing, and a person says when it is back."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from cxrnode.ledger.circuits import OPENS_AFTER
from tests.builders import make_cxr
from tests.cables import Mute
from tests.fakes import FakePacs
from tests.invariants import unkept
from tests.nodes import running_node, saved

STUDIES, OBJECTS = 8, 2
WAITS = {"first_retry_s": 60.0}


def test_a_dead_archive_is_left_alone_and_gets_all_once_when_a_person_says_that_it_is_back(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Red without `peers.failed` in `delivery._send`: nothing is ever away, and each study calls."""
    record_property("matrix", ("a result is due", "archive takes calls and never answers", "I1, I2, I3, I5"))
    films = [saved(make_cxr(), tmp_path / f"{number}.dcm") for number in range(STUDIES)]
    live, back, mute, silence = FakePacs(), FakePacs(), Mute(), ExitStack()
    silence.enter_context(mute.listening())
    dead = FakePacs(port=mute.port).destination(name="dead", timeout_s=1)
    with live.listening(), running_node(tmp_path, live.destination(name="live"), dead, delivery=WAITS) as node, silence:
        for film in films:
            node.push(film)
        gone = node.wait_until(
            lambda s: bool(s["away"]) and s["away"][0]["waiting"] == STUDIES and len(live.stored) == OBJECTS * STUDIES
        )
        calls = mute.calls
        silence.close()
        with back.listening(mute.port):
            retry = node.cxrnode("retry", "--destination", "dead", "--json")
            status = node.wait_until_finished(STUDIES)
        assert unkept(node.settings, films) == []
    (away,) = gone["away"]
    assert (away["destination"], away["failures"]) == ("dead", OPENS_AFTER)
    assert OPENS_AFTER <= calls <= OPENS_AFTER + 1, "two delivery processes: one call may have begun before"
    assert json.loads(retry.stdout)["deliveries"] == STUDIES
    assert (status["away"], status["balanced"]) == ([], True)
    for archive in (live, back):
        uids = {one.SOPInstanceUID for one in archive.stored}
        assert len(uids) == len(archive.attempts) == OBJECTS * STUDIES
