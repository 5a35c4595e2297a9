"""`cxrnode reload` with a whole node: a receiver more, workers that begin anew with the same pid, and no study lost."""

import json
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from cxrnode.commands.samples import free_ports
from cxrnode.deliver import echo
from cxrnode.errors import PeerUnavailable
from cxrnode.settings.destination import Destination
from tests.builders import make_cxr
from tests.fakes import FakePacs
from tests.fuzz.campaign import settled
from tests.nodes import RunningNode, running_node, saved

SOON_S = 60


def rewritten(node: RunningNode, **tables: object) -> None:
    """The settings file with other tables."""
    known: dict[str, Any] = tomllib.loads(node.config.read_text(encoding="utf-8"))
    node.config.write_text(tomli_w.dumps(known | tables), encoding="utf-8")


def answers(port: int) -> bool:
    """Whether a receiver of the node answers there."""
    try:
        echo(Destination(name="further", ae_title="FURTHER", host="127.0.0.1", port=port), "MODALITY")
    except PeerUnavailable:
        return False
    return True


def workers(node: RunningNode) -> set[int]:
    """The first process of each worker."""
    listed = (node.settings.node.run_dir / "processes").glob("*.json")
    told = [json.loads(file.read_text(encoding="utf-8")) for file in listed]
    return {one["pid"] for one in told if one["what"].startswith("worker")}


def begun_anew(node: RunningNode) -> set[int]:
    """Who says in the log that it begins anew."""
    lines = [line for line in node.log.read_text().splitlines() if '"begins anew"' in line]
    return {json.loads(line[line.index("{") :])["pid"] for line in lines}


def test_a_node_takes_on_other_settings_and_loses_no_study(tmp_path: Path) -> None:
    """Red when `up` does not tell its children, and when a worker ends without beginning anew."""
    (port,) = free_ports(1)
    with FakePacs().listening() as pacs, FakePacs().listening() as other, running_node(tmp_path) as node:
        assert settled(lambda: len(workers(node)) == 2, SOON_S)
        pids = workers(node)
        node.push(saved(make_cxr(), tmp_path / "first.dcm"))
        node.wait_until_finished(1)
        further = {"name": "further", "ae_title": "FURTHER", "port": port}
        to = [one.destination(name=name).model_dump(mode="json") for one, name in ((pacs, "a"), (other, "b"))]
        rewritten(node, destinations=to, receivers=[further])

        said = node.cxrnode("reload", "--json")

        assert (said.returncode, said.stderr) == (0, "")
        told = {one["what"]: one["told"] for one in json.loads(said.stdout)}
        assert told["node"] == told["receiver"] == "goes by the new ones"
        assert told["worker (deliver)"] == "begins anew after what it has in hand"
        assert settled(lambda: answers(port), SOON_S), node.log.read_text()[-3000:]
        node.push(saved(make_cxr(), tmp_path / "second.dcm"))
        node.wait_until_finished(2)
        assert (len(pacs.stored), len(other.stored)) == (2, 2), "the first study had no destination yet"
        assert settled(lambda: begun_anew(node) == pids == workers(node), SOON_S)

        rewritten(node, receivers=[])
        said = node.cxrnode("reload", "--json")
        told = {one["what"]: one["told"] for one in json.loads(said.stdout)}
        assert (said.returncode, told["receiver further"]) == (0, "has ended: the settings have it no more")
        assert not answers(port)
        node.config.write_text("[node\n", encoding="utf-8")
        assert "not TOML" in node.cxrnode("reload").stderr
        assert node.process.poll() is None
