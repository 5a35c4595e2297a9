"""Debian's Prometheus on loopback, scraping a node's ports; and what the files in config/ say of figures."""

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cxrnode.commands.samples import free_ports
from tests.house.rooms import ROOT
from tests.peers import program

ALERTS = ROOT / "config" / "prometheus" / "alerts.yml"
CONFIG = ROOT / "config" / "prometheus" / "prometheus.yml"
DASHBOARD = ROOT / "config" / "grafana" / "cxrnode.json"


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    port: int
    log: Path

    def ask(self, what: str, **parameters: str) -> Any:
        """What its API answers to a question. Raises HTTPError."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """An expression now, by labels."""
        result = self.ask("query", query=expression)["result"]
        return {frozenset(one["metric"].items()): float(one["value"][1]) for one in result}

    def wait_until(self, true: Callable[[], bool], patience_s: float = 60.0) -> None:
        """Ask until `true`."""
        give_up = time.monotonic() + patience_s
        while True:
            with suppress(OSError):  # while it has not begun to answer
                if true():
                    return
            assert time.monotonic() < give_up, self.log.read_text()[-3000:]
            time.sleep(0.2)


@contextmanager
def running_prometheus(folder: Path, ports: dict[str, int]) -> Iterator[Prometheus]:
    """One that scrapes these ports every second, by job, with the rules of config/; ended by pid."""
    rules = folder / "alerts.yml"
    rules.write_bytes(ALERTS.read_bytes())
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{number}"]}]} for job, number in ports.items()
    ]
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": every, "rule_files": [str(rules)], "scrape_configs": jobs}))
    (port,) = free_ports(1)
    log = folder / "prometheus.log"
    command = [program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with log.open("wb") as sink:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=sink, stderr=sink)
        try:
            yield Prometheus(port, log)
        finally:
            process.terminate()
            process.wait(30)


def alerts() -> list[dict[str, Any]]:
    """The alarms of config/."""
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    """Those of the dashboard, rows included."""
    return list(json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"])


def shown() -> list[str]:
    """The expressions of the dashboard, with an interval for Grafana's own."""
    found = [one["expr"] for panel in panels() for one in panel.get("targets", [])]
    return [expression.replace("$__rate_interval", "1m") for expression in found]


def named(expression: str) -> set[str]:
    """The figures of ours that an expression names."""
    return set(re.findall(r"cxrnode_[a-z_]+", expression))
