"""What a sender says of its images, on the wire: which are STAT, by their header or by who sends them."""

from pathlib import Path

import pytest
from pydicom import Dataset

from cxrnode.commands.samples import free_ports
from cxrnode.deliver import send
from cxrnode.receipt import Receipt
from cxrnode.receive import Receiver
from cxrnode.settings import Receiving
from cxrnode.settings.destination import Destination
from cxrnode.spool import Spool
from tests.builders import make_cxr
from tests.nodes import saved

SENDERS = [
    {"ae_title": "EMERGENCY", "addresses": ["127.0.0.1"], "stat": True},
    {"ae_title": "EMERGENCY", "addresses": ["10.0.0.0/8"]},
    {"ae_title": "DXROOM1", "addresses": ["127.0.0.1"]},
    {"ae_title": "DXROOM1", "addresses": ["10.0.0.0/8"], "stat": True},
]
REQUEST = Dataset()
REQUEST.RequestedProcedurePriority = "STAT"


@pytest.mark.parametrize(
    ("calling_ae", "attributes", "stat"),
    [
        ("EMERGENCY", {}, True),
        ("DXROOM1", {}, False),
        ("DXROOM1", {"RequestedProcedurePriority": "STAT"}, True),
        ("DXROOM1", {"RequestAttributesSequence": [REQUEST]}, True),
        ("DXROOM1", {"RequestedProcedurePriority": "ROUTINE"}, False),
    ],
)
def test_the_receipt_says_whether_an_image_is_stat(
    tmp_path: Path, calling_ae: str, attributes: dict[str, object], *, stat: bool
) -> None:
    """Red where the header is parsed for its UIDs alone, and where a sender's address is not looked at."""
    (port,) = free_ports(1)
    settings = Receiving.model_validate({"port": port, "reserve_gb": 0, "senders": SENDERS})
    spool, receipts = Spool(tmp_path / "spool"), list[Receipt]()
    receiver = Receiver("CXRNODE", settings, spool, receipts.append)
    receiver.start()
    try:
        film = saved(make_cxr(**attributes), tmp_path / "film.dcm")
        node = Destination(name="node", ae_title="CXRNODE", host="127.0.0.1", port=port)
        send([film, film], node, calling_ae, lambda *_: None)
    finally:
        receiver.stop()

    assert [one.stat for one in receipts] == [stat, stat], "of a duplicate as well"
    assert spool.receipt(receipts[0].key).stat is stat
