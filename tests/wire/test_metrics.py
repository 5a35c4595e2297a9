"""What the receiver counts of real associations: who was let in, who was not and why, and what each was answered."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrnode.commands.samples import free_ports
from cxrnode.deliver import echo, send
from cxrnode.errors import PeerUnavailable
from cxrnode.metrics import counts
from cxrnode.receive import Receiver
from cxrnode.settings import Receiving
from cxrnode.settings.destination import Destination
from cxrnode.spool import Spool
from tests.builders import make_cxr
from tests.figures import counted
from tests.nodes import saved

ROOM = {"ae_title": "COUNTED", "addresses": ["127.0.0.1"]}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Destination]:
    """A receiver that knows one sender."""
    port = free_ports(1)[0]
    settings = Receiving.model_validate({"port": port, "reserve_gb": 0, "senders": [ROOM]})
    receiver = Receiver("CXRNODE", settings, Spool(tmp_path / "spool", 0), lambda _receipt: None)
    receiver.start()
    yield Destination(name="node", ae_title="CXRNODE", host="127.0.0.1", port=port, timeout_s=5)
    receiver.stop()


def test_each_instance_is_counted_by_its_sender_with_its_status_and_size(node: Destination, tmp_path: Path) -> None:
    """Red without the line in inflow.py."""
    film = saved(make_cxr(), tmp_path / "film.dcm")

    for _ in range(2):
        send([film], node, "COUNTED", lambda _index, _sent: None)

    assert counted("instances_total", calling_ae="COUNTED", status="0000") == 2
    assert counted("received_bytes_total", calling_ae="COUNTED") > film.stat().st_size
    assert counted("last_instance_timestamp_seconds", calling_ae="COUNTED") > 1.7e9
    assert counted("associations_total", calling_ae="COUNTED") == 2


def test_who_is_refused_is_counted_by_why_and_a_stranger_without_its_name(node: Destination) -> None:
    stranger = {"calling_ae": counts.STRANGER, "reason": "calling AE title"}
    before = counted("associations_refused_total", **stranger)

    with pytest.raises(PeerUnavailable):
        echo(node, "ZZSTRANGER")
    with pytest.raises(PeerUnavailable):
        echo(node.model_copy(update={"ae_title": "ELSE"}), "COUNTED")

    assert counted("associations_refused_total", **stranger) == before + 1
    assert counted("associations_refused_total", calling_ae="COUNTED", reason="called AE title") == 1
    labels = {value for family in counts.REGISTRY.collect() for one in family.samples for value in one.labels.values()}
    assert "ZZSTRANGER" not in labels
