"""remote: a study of a real archive comes into the spool, by C-GET here, by C-MOVE through the node's receiver."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cxrnode.commands.samples import free_ports
from cxrnode.errors import PeerUnavailable
from cxrnode.headers.opening import parsed
from cxrnode.peers.retrieve import Retrieved
from cxrnode.plans.plan import Entry
from cxrnode.receipt import MOVED, Receipt
from cxrnode.replay.remote import FromArchive
from cxrnode.settings import Node, Receiving
from cxrnode.spool import Spool
from tests.dcmqrscp import Dcmqrscp, running_dcmqrscp
from tests.nodes import saved
from tests.replaying import film
from tests.wire.test_receive import Bench


def source(peer: Dcmqrscp, root: Path, retrieve: str, port: int) -> FromArchive:
    return FromArchive(peer.archive(retrieve), Spool(root / "spool"), "r" * 32, Node(), Receiving(port=port))


def test_a_study_comes_by_c_get_with_the_receipts_of_what_was_kept(tmp_path: Path) -> None:
    first = film()
    second = film(StudyInstanceUID=first.StudyInstanceUID)
    files = [saved(one, tmp_path / f"{number}.dcm") for number, one in enumerate((first, second, film()))]
    kept: list[Receipt] = []
    with running_dcmqrscp(tmp_path / "qr", files) as peer:
        asked = source(peer, tmp_path, "get", 1)
        fetched = asked.fetch(Entry(study=str(first.StudyInstanceUID)), kept)

    assert (fetched.sent, fetched.failed, fetched.absent, fetched.to_receiver) == (2, 0, False, False)
    assert {receipt.sop_instance_uid for receipt in kept} == {first.SOPInstanceUID, second.SOPInstanceUID}
    assert {(receipt.calling_ae, receipt.fetched) for receipt in kept} == {("DCMQRSCP", "r" * 32)}
    images = [parsed(asked.spool.image(receipt.key)) for receipt in kept]
    assert {one.SOPInstanceUID: one.PixelData for one in images} == {
        one.SOPInstanceUID: one.PixelData for one in (first, second)
    }


def test_a_study_that_is_gone_is_absent(tmp_path: Path) -> None:
    with running_dcmqrscp(tmp_path / "qr", [saved(film(), tmp_path / "a.dcm")]) as peer:
        fetched = source(peer, tmp_path, "get", 1).fetch(Entry(study="1.2.3"), [])

    assert (fetched.absent, fetched.reason) == (True, "dcmqrscp has no such study.")


def test_without_a_receiver_an_archive_is_not_to_blame(tmp_path: Path) -> None:
    """Red without `_receiver_listens`: a node that is down would fail every study of the plan."""
    (port,) = free_ports(1)
    one = film()
    with running_dcmqrscp(tmp_path / "qr", [saved(one, tmp_path / "a.dcm")], node_port=port) as peer:
        asked = source(peer, tmp_path, "move", port)
        with pytest.raises(PeerUnavailable, match=f"no receiver of this node listens on 127.0.0.1:{port}"):
            asked.fetch(Entry(study=str(one.StudyInstanceUID)), [])
        assert not asked.answers()
        node = Bench(tmp_path / "node", port=port)
        node.receiver.start()
        try:
            assert asked.answers()
            fetched = asked.fetch(Entry(study=str(one.StudyInstanceUID)), [])
        finally:
            node.receiver.stop()
    assert (fetched.sent, fetched.to_receiver) == (1, True)
    assert [receipt.fetched for receipt in node.receipts] == [MOVED]


def test_what_is_of_another_study_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that sends more than it was asked for would have it read as live. Red without the comparison."""
    wanted, other = film(), film()
    contents = [saved(one, tmp_path / f"{number}.dcm").read_bytes() for number, one in enumerate((wanted, other))]
    answers: list[int] = []
    kept: list[Receipt] = []

    def get(_archive: object, _ae: str, _study: str, take: Callable[[bytes], int]) -> Retrieved:
        answers.extend(map(take, [*contents, b"\0" * 200]))
        return Retrieved(answers.count(0), 3 - answers.count(0), "refused")

    monkeypatch.setattr("cxrnode.replay.remote.get", get)
    with running_dcmqrscp(tmp_path / "qr") as peer:
        source(peer, tmp_path, "get", 1).fetch(Entry(study=str(wanted.StudyInstanceUID)), kept)

    assert answers == [0x0000, 0xA900, 0xC000]
    assert [receipt.sop_instance_uid for receipt in kept] == [wanted.SOPInstanceUID]
