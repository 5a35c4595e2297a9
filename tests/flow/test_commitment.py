"""A running node and an archive that commits itself: a real Orthanc, and one that reports while nobody listens."""

import os
import signal
from pathlib import Path

from cxrnode.commands.samples import free_ports
from tests.archives import Archive
from tests.builders import make_cxr
from tests.nodes import running_node, saved
from tests.orthanc import running_orthanc


def test_orthanc_commits_itself_to_what_it_took(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with (
        running_orthanc(tmp_path, port) as orthanc,
        running_node(tmp_path, orthanc.destination, receiving={"port": port}) as node,
    ):
        told = node.cxrnode("check", "--json").stdout
        node.push(saved(make_cxr(), tmp_path / "film.dcm"))
        status = node.wait_until_finished(1)
        kept = len(orthanc.files())

    assert "it offers storage commitment" in told
    (line,) = status["rounds"]
    assert (line["deliveries"], line["commitment"], kept) == ({"orthanc": "2 committed"}, {}, 2)
    assert status["instances"] == [{"place": "finished, delivered", "outcome": line["outcome"], "instances": 1}]


def test_a_receiver_that_is_killed_between_request_and_report_loses_no_commitment(tmp_path: Path) -> None:
    """kill -9 after the N-ACTION: the archive reports to nobody, then to the receiver that `up` has started anew."""
    (port,) = free_ports(1)
    archive = Archive(never=True, node_port=port)
    with archive.listening(), running_node(tmp_path, archive.destination(), receiving={"port": port}) as node:
        node.push(saved(make_cxr(), tmp_path / "film.dcm"))
        node.wait_until(lambda s: s["instances"][0]["place"] == "waiting for commitment" and archive.requests)
        receiver = min(pid for pid, command in node.children().items() if command.endswith("receive "))
        os.kill(receiver, signal.SIGKILL)  # its children end with it
        archive.report(archive.requests[0])
        assert node.status()["instances"][0]["place"] == "waiting for commitment"

        node.wait_until(lambda _: archive.report(archive.requests[0]) == 0x0000)
        status = node.wait_until_finished(1)

    assert status["rounds"][0]["deliveries"] == {"fake": "2 committed"}
    assert (len(archive.requests), len(archive.attempts)) == (1, 2)
