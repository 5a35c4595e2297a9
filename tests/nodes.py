"""A whole node for the flow tests: `cxrnode up` as a user starts it, on free ports, in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydicom import Dataset

from cxrnode.commands.samples import free_ports
from cxrnode.commands.status import as_object, look
from cxrnode.deliver import echo, send
from cxrnode.errors import LedgerUnavailable, PeerUnavailable
from cxrnode.ledger import Ledger
from cxrnode.settings import Settings, load
from cxrnode.settings.archive import Archive
from cxrnode.settings.certificates import ANY_NAME
from cxrnode.settings.destination import Destination
from cxrnode.spool import Spool
from tests.databases import ledger_url

PATIENCE_S = 120.0


@dataclass
class RunningNode:
    """`cxrnode up` and where to find it."""

    config: Path
    log: Path
    settings: Settings
    process: subprocess.Popen[bytes]

    @property
    def receiver(self) -> Destination:
        """The node's SCP as a sender knows it."""
        receiving = self.settings.receiving
        where = {"ae_title": self.settings.node.ae_title, "host": receiving.host, "port": receiving.port}
        return Destination.model_validate({"name": "node", "tls": receiving.tls, "tls_name": ANY_NAME} | where)

    def push(self, *files: Path, calling_ae: str = "MODALITY") -> None:
        """Send files over one association; every one must be accepted."""
        answers = []
        send(files, self.receiver, calling_ae, lambda _index, sent: answers.append(sent.status))
        if answers != [0] * len(files):
            raise AssertionError(f"wanted Success for {len(files)} files, got statuses {answers}")

    def cxrnode(self, *arguments: str, patience_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line against this node."""
        command = [sys.executable, "-m", "cxrnode.cli", "--config", str(self.config), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=patience_s, check=False)

    def status(self) -> dict[str, Any]:
        """What `cxrnode status --json` says, without the cost of a process."""
        ledger = Ledger(self.settings.ledger_url)
        try:
            told = as_object(look(ledger, Spool(self.settings.node.spool_dir)))
        except LedgerUnavailable as error:
            told = {"instances": [], "rounds": [], "received": -1, "error": str(error)}
        finally:
            ledger.close()
        status: dict[str, Any] = json.loads(json.dumps(told))
        return status

    def wait_until(self, true: Callable[[dict[str, Any]], bool], patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Ask for the status until `true` of it; fails with the node's log when patience ends."""
        give_up = time.monotonic() + patience_s
        while not true(status := self.status()):
            if time.monotonic() > give_up:
                raise AssertionError(f"{status}\n{self.log.read_text()[-6000:]}")
            time.sleep(0.3)
        return status

    def wait_until_logged(self, words: str) -> None:
        """Wait until the node has logged `words`."""
        self.wait_until(lambda _: words in self.log.read_text())

    def wait_until_finished(self, rounds: int) -> dict[str, Any]:
        """Wait until this many rounds are finished."""
        return self.wait_until(lambda s: sum(line["state"] == "finished" for line in s["rounds"]) >= rounds)

    def children(self) -> dict[int, str]:
        """The pids of every process below `up`, with their command lines."""
        below = beneath(self.process.pid)
        return {pid: Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in below}

    def redis_cli(self, *words: str) -> str:
        """Speak to the embedded broker over its socket."""
        import redis

        client = redis.Redis(unix_socket_path=str(self.settings.node.run_dir / "broker.sock"))
        return str(client.execute_command(*words))


@contextmanager
def running_node(
    folder: Path,
    *destinations: Destination,
    routes: Sequence[dict[str, object]] = (),
    archives: Sequence[Archive] = (),
    receivers: Sequence[dict[str, object]] = (),
    environment: Mapping[str, str] | None = None,
    **settings: dict[str, object],
) -> Iterator[RunningNode]:
    """Start a node with these destinations; ended by pid, and the test fails if anything is left running."""
    receiver_port, flower_port = free_ports(2)
    tables: dict[str, Any] = {
        "node": {"state_dir": str(folder / "state")},
        "ledger": {"url": ledger_url(folder / "state")},
        "receiving": {"port": receiver_port, "quiet_s": 1.0, "reserve_gb": 0.1},
        "flower": {"port": flower_port, "enabled": False},
        "metrics": {"receiver_port": 0, "analysis_port": 0, "delivery_port": 0},
        "rules": {"gate": "off"},  # the films of most tests are made up, and the gate refuses what is no chest film
    }
    for name, table in settings.items():
        tables.setdefault(name, {}).update(table)
    config = folder / "node.toml"
    listed = {
        "destinations": [one.model_dump(mode="json") for one in destinations],
        "routes": list(routes),
        "receivers": list(receivers),
        "archives": [one.model_dump(mode="json", exclude_defaults=True) for one in archives],
    }
    config.write_text(tomli_w.dumps(tables | listed), encoding="utf-8")
    log = folder / "node.log"
    environ = os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {})
    with log.open("wb") as sink:
        command = [sys.executable, "-m", "cxrnode.cli", "--config", str(config), "up"]
        known = load(config)
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=environ)
        node = RunningNode(config, log, known, process)
        children: dict[int, str] = {}
        try:
            _wait_for_echo(node)
            yield node
        finally:
            children = node.children()
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    left = {pid: command for pid, command in children.items() if Path(f"/proc/{pid}").exists()}
    assert not left, f"left running: {left}"


def beneath(pid: int) -> list[int]:
    """The pids of every process below this one."""
    children: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has ended meanwhile
            children += map(int, thread.read_text().split())
    return [one for child in children for one in (child, *beneath(child))]


def saved(instance: Dataset, path: Path) -> Path:
    """`instance` as a PS3.10 file."""
    instance.save_as(path, enforce_file_format=True)
    return path


def _wait_for_echo(node: RunningNode) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            return echo(node.receiver, "MODALITY")
        except PeerUnavailable:
            if time.monotonic() > give_up or node.process.poll() is not None:
                raise AssertionError(node.log.read_text()[-6000:]) from None
            time.sleep(0.2)
