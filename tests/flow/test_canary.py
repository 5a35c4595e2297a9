"""A running node sends itself a canary, which the real gate and model read and a real archive commits itself to."""

import json
from pathlib import Path
from typing import Any

from cxrnode.commands.samples import free_ports
from cxrnode.ledger import Ledger, canaries
from tests.nodes import running_node
from tests.orthanc import running_orthanc

CANARY: dict[str, Any] = {"every_h": 0.2, "within_s": 600.0, "destination": "orthanc"}


def test_a_canary_comes_back_committed_and_is_in_no_list(tmp_path: Path) -> None:
    """Red when the receiver's loop sends none, the gate refuses the film, or it goes to no destination."""
    (port,) = free_ports(1)
    with (
        running_orthanc(tmp_path, port) as orthanc,
        running_node(
            tmp_path, orthanc.destination, receiving={"port": port}, canary=CANARY, rules={"gate": "refuse"}
        ) as node,
    ):
        ledger = Ledger(node.settings.ledger_url)
        node.wait_until(lambda _: bool((flock := canaries.flock(ledger)) and flock.ended))
        ledger.close()
        kept = len(orthanc.files())
        told = json.loads(node.cxrnode("status", "--json").stdout)

    assert (told["canary"]["lost"], told["canary"]["ended"]["back"], told["canary"]["ended"]["reason"]) == (
        "",
        True,
        "",
    )
    assert told["canary"]["ended"]["model"].startswith("pneumonia-")
    assert told["instances"] == [{"place": "canary", "outcome": "", "instances": 1}]
    assert (told["rounds"], kept) == ([], 2)
