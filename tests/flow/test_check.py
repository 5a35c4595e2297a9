"""`cxrnode check` of a node that runs, with all of its ports open: everything is well, and known for its own."""

import json
from pathlib import Path

from cxrnode.commands.samples import free_ports
from tests.authority import Authority
from tests.fakes import FakePacs
from tests.nodes import running_node


def test_a_running_node_finds_each_of_its_ports_its_own(tmp_path: Path) -> None:
    """Two receivers, one of them over TLS, three services' figures, Flower behind a prefix; nothing is disturbed by it.

    Red wherever a port that is taken is taken for somebody else's.
    """
    ours = Authority(tmp_path / "ca").certificates("node.example").model_dump(exclude_defaults=True)
    plain, *metrics = free_ports(5)
    names = ("receiver_port", "analysis_port", "delivery_port")
    with (
        FakePacs().listening() as pacs,
        running_node(
            tmp_path,
            pacs.destination(commitment="off"),
            tls=ours,
            receiving={"tls": True},
            metrics=dict(zip(names, metrics, strict=False)),
            flower={"enabled": True, "url_prefix": "/flower"},
            receivers=[{"name": "plain", "port": plain, "tls": False, "metrics_port": metrics[3]}],
        ) as node,
    ):
        node.wait_until(lambda _: node.log.read_text().count("metrics served") == len(metrics))
        node.wait_until(lambda _: (node.settings.node.run_dir / "flower-password").exists())
        node.wait_until(lambda _: "this node's: Flower" in node.cxrnode("check", "--json").stdout)
        told = node.cxrnode("check", "--json")
        log = node.log.read_text()

    found = {line["what"]: line for line in json.loads(told.stdout)}
    assert [line for line in found.values() if not line["well"]] == []
    assert told.returncode == 0
    parts = ("receiver", "receiver plain", "analysis", "delivery")
    listening = ["receiver", "receiver plain", *(f"metrics of {part}" for part in parts), "Flower"]
    assert [what for what in listening if "this node's" not in found[what]["told"]] == []
    assert found["broker"]["told"].startswith("answers"), "the embedded one"
    assert "refused" not in log, "nobody was turned away for it"
