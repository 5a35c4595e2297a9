"""An operator at Flower, behind nginx, while a study goes through a node; and all that was to be seen meanwhile."""

import base64
import re
import ssl
import subprocess
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import redis
from pydicom import Dataset

from cxrnode.commands.samples import free_ports
from tests import flowers
from tests.browser.conftest import ARTEFACTS, driving, ended
from tests.builders import make_cxr
from tests.fakes import FakePacs
from tests.nginx import running_nginx
from tests.nodes import RunningNode, running_node, saved
from tests.peers import program

PREFIX, PASSWORD = "/flower", "page,word-3391"
CANARY = "ZQCANARY"
"""no patient's: an AE title, a destination and two files are called so, to be found wherever a patient must not be"""
PATIENT = {
    "PatientName": "Qvxsynthetic^Wjzpatient",
    "PatientID": "QZ-PID-77120394",
    "PatientBirthDate": "20190823",
    "AccessionNumber": "QZ-ACC-5583017",
}
BY_DESIGN = ("ledger.sqlite", "ledger.sqlite-shm", "ledger.sqlite-wal", "spool", "audit")
"""of the state folder: what holds patients, for the node's own user alone"""
NAMES = ("cxrnode.analyse", "cxrnode.deliver", "cxrnode.commit")
METRICS = ("receiver_port", "analysis_port", "delivery_port")


@dataclass
class Seen:
    """The tour, what each place told as bytes, and the values that identify the patient."""

    tour: dict[str, Any] = field(default_factory=dict)
    answers: dict[tuple[str, str, str], int] = field(default_factory=dict)
    old_browser: int = 0
    told: dict[str, bytes] = field(default_factory=dict)
    by_design: dict[str, bytes] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    study: str = ""
    """its random key"""


def gone_through(folder: Path, modules: Path) -> Seen:
    """Everything; nothing runs any more when this returns."""
    seen, film, temp = Seen(), make_cxr(**PATIENT), folder / "tmp"
    temp.mkdir()
    flower = {"enabled": True, "password": PASSWORD, "url_prefix": PREFIX}
    with (
        FakePacs().listening() as pacs,
        running_node(
            folder,
            pacs.destination(name=CANARY.lower()),
            flower=flower,
            metrics=dict(zip(METRICS, free_ports(3), strict=True)),
            environment={"TMPDIR": str(temp), "FLOWER_BASIC_AUTH": "nobody:else", "FLOWER_ADDRESS": "0.0.0.0"},  # noqa: S104
        ) as node,
        overheard(node, folder / "overheard"),
        running_nginx(folder / "nginx", node.settings.flower.port) as port,
    ):
        flowers.wait_for_flower(node.settings.flower.port, PREFIX)
        address = f"https://127.0.0.1:{port}{PREFIX}/"
        browser = driving(modules, "operator.mjs", address, "operator", PASSWORD, ARTEFACTS, *NAMES)
        assert browser.stdout is not None
        assert browser.stdout.readline() == "watching\n", ended(browser)
        node.push(saved(film, folder / "film.dcm"), calling_ae=CANARY)
        names: set[str] = set()
        status = node.wait_until(lambda s: _grown(names, node, temp) and s["rounds"][:1] and s["balanced"] and _over(s))
        seen.study = status["rounds"][0]["study"]
        seen.tour = ended(browser, 240)
        seen.answers = answers(node.settings.flower.port)
        seen.old_browser = asked_by_an_old_browser(port, folder / "nginx" / "ca" / "ca.pem")
        for place in (node.settings.node.state_dir, temp):
            (place / CANARY).write_text(CANARY)
        seen.told = dict(told_by(node, folder, seen.tour)) | {"names of files": "\n".join(names).encode()}
        seen.told |= contents(temp, "temp folder")
        _grown(names, node, temp)
        seen.told["names of files"] = "\n".join(names).encode()
    for path, content in contents(node.settings.node.state_dir, "").items():
        kept = seen.by_design if path.split("/")[1] in BY_DESIGN else seen.told
        kept[f"state folder{path}"] = content
    seen.told["Redis, every command"] = (folder / "overheard").read_bytes()
    seen.secrets = secrets_of(film, pacs.stored)
    return seen


def secrets_of(film: Dataset, results: Iterable[Dataset]) -> dict[str, str]:
    """What identifies the patient, the study and what came of it."""
    family, _, given = PATIENT["PatientName"].partition("^")
    uids = {name: str(film[name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    made = {f"result {number}": str(one.SOPInstanceUID) for number, one in enumerate(results)}
    return PATIENT | uids | made | {"family name": family, "given name": given}


def found(values: Mapping[str, str], told: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Which of them is where, whatever the case, and within base64 as well (so Celery packs a task's arguments)."""
    hits = []
    for where, content in told.items():
        opened = unpacked(content).lower()
        hits += [(what, where) for what, value in values.items() if occurs(value, opened)]
    return hits


def occurs(value: str, content: bytes) -> bool:
    """A number (a date) that is part of a longer one is another."""
    sought = re.escape(value.lower().encode())
    return bool(re.search(rb"(?<![\d.])" + sought + rb"(?!\d)" if value.isdigit() else sought, content))


def unpacked(content: bytes) -> bytes:
    """The same, and behind it whatever in it is base64."""
    packed = re.findall(rb"(?:[A-Za-z0-9+/]{4}){4,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", content)
    return b"\n".join([content, *map(base64.b64decode, packed)])


def told_by(node: RunningNode, folder: Path, tour: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Every place that is no file of the node: pages as they were drawn, API, broker, logs, ports."""
    for name, page in tour["pages"].items():
        yield f"page: {name}", f"{page['title']}\n{page['words']}\n{page['whole']}".encode()
    operator, port = flowers.by("operator", PASSWORD), node.settings.flower.port
    tasks = re.findall(r"/task/([0-9a-f-]{36})", tour["pages"]["tasks"]["whole"])
    infos = [f"/api/task/info/{one}" for one in sorted(set(tasks))]
    lists = [f"/api/{one}" for one in ("workers?refresh=true", "tasks", "task/types", "queues/length")]
    for number, path in enumerate([*infos, *lists, "/workers?json=1", "/metrics"], start=1):
        status, answer = flowers.said_to(port, PREFIX + path, "GET", operator)
        assert status == 200, (path, answer)
        yield f"API: {f'task {number}' if path in infos else path}", answer.encode()
    for name in METRICS:
        with urllib.request.urlopen(f"http://127.0.0.1:{getattr(node.settings.metrics, name)}/metrics") as answered:
            yield f"figures, {name}", answered.read()
    broker = redis.Redis(unix_socket_path=str(node.settings.node.run_dir / "broker.sock"))
    yield "Redis, keys and values", "\n".join(f"{key} {value_of(broker, key)}" for key in broker.keys("*")).encode()
    yield "log of the node", node.log.read_bytes()
    yield "log of nginx", b"".join(path.read_bytes() for path in (folder / "nginx").glob("*.log"))


def value_of(broker: "redis.Redis[bytes]", key: bytes) -> object:
    """The whole value of a key, of whatever kind."""
    kind = broker.type(key).decode()
    ask = {"string": broker.get, "set": broker.smembers, "hash": broker.hgetall}
    ranged = {"list": broker.lrange, "zset": broker.zrange}
    return ranged[kind](key, 0, -1) if kind in ranged else ask[kind](key)


def answers(port: int) -> dict[tuple[str, str, str], int]:
    """What Flower answers to each question and order there is: from nobody, and with half of the password."""
    known = {"nobody": flowers.NOBODY, "half a password": flowers.by("operator", PASSWORD.partition(",")[0])}
    known["somebody of the environment"] = flowers.by("nobody", "else")
    return {
        (who, method, path): flowers.answer(port, PREFIX + path, method, headers)
        for who, headers in known.items()
        for path in flowers.doors()
        for method in ("GET", "POST")
    }


def asked_by_an_old_browser(port: int, authority: Path) -> int:
    """The status of what the page of tasks asks, from one that names the page's origin and no more."""
    nginx = HTTPSConnection("127.0.0.1", port, timeout=30, context=ssl.create_default_context(cafile=authority))
    said = {**flowers.by("operator", PASSWORD), "Origin": f"https://127.0.0.1:{port}"}
    nginx.request("POST", f"{PREFIX}/tasks/datatable?draw=1&start=0&length=1&order[0][column]=0", headers=said)
    try:
        return nginx.getresponse().status
    finally:
        nginx.close()


@contextmanager
def overheard(node: RunningNode, file: Path) -> Iterator[None]:
    """Every command that the embedded broker gets inside, with all its words."""
    socket = node.settings.node.run_dir / "broker.sock"
    with file.open("wb") as sink:
        listener = subprocess.Popen([program("redis-cli"), "-s", str(socket), "monitor"], stdout=sink)
        try:
            yield
        finally:
            listener.terminate()
            listener.wait(10)


def contents(folder: Path, name: str) -> dict[str, bytes]:
    """Every file below, by its path."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {f"{name}/{path.relative_to(folder)}": path.read_bytes() for path in files}


def _grown(names: set[str], node: RunningNode, temp: Path) -> bool:
    """With the names of all files that there are by now, in the two folders."""
    names |= {str(path) for folder in (node.settings.node.state_dir, temp) for path in folder.rglob("*")}
    return True


def _over(status: Mapping[str, Any]) -> bool:
    return bool(status["rounds"][0]["state"] == "finished")
