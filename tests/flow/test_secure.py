"""A node with all of it over TLS and its secrets in files reads a study whose every text is an attack.

It works, does what none of them says, and neither secrets nor patients' files are for others.
"""

import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from pydicom import Dataset

from cxrnode import tls
from tests.authority import Authority
from tests.brokers import PASSWORD, running_broker
from tests.builders import make_cxr
from tests.fakes import FakePacs
from tests.flowers import answer, by, said_to, wait_for_flower
from tests.nodes import RunningNode, running_node, saved

PAGE, KEY = "page-word-8142", "key-word-5527"
SECRETS = {
    "of the broker": PASSWORD,
    "of the broker, as in an address": quote(PASSWORD, safe=""),
    "of the page": PAGE,
    "of the key": KEY,
}
OPERATOR = by("operator", PAGE)
STATEMENT = "';DROP TABLE a--"
ATTACKS = {
    "PatientID": "'; DROP TABLE studies; DROP TABLE instances; --",
    "PatientName": "$(touch attacked)^`touch attacked`",
    "AccessionNumber": "' OR '1'='1",
    "StudyID": "../../attacked",
    "StudyDescription": "{{ 7 * 7 }} <script>alert(1)</script>",
    "SeriesDescription": "__import__('os').system('touch attacked')",
    "ReferringPhysicianName": "; touch attacked;",
}
SAID = [
    *(["--help"], ["up", "--help"], ["check"], ["status", "--json"], ["conformance"]),
    *(["trace", "' OR '1'='1"], ["trace", "../../ledger.sqlite"], ["show", "' OR '1'='1"]),
]


@dataclass
class Seen:
    """What was to be seen of the node, from outside and in its folder."""

    said: dict[str, str] = field(default_factory=dict)
    stored: list[Dataset] = field(default_factory=list)
    pages: dict[str, int] = field(default_factory=dict)
    modes: dict[Path, int] = field(default_factory=dict)
    holding: list[Path] = field(default_factory=list)
    received: int = 0
    attacked: list[Path] = field(default_factory=list)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("node")
    authority = Authority(folder / "ca")
    shown = authority.signed("node.example", password=KEY.encode())
    for name, secret in {"page": PAGE, "key": KEY}.items():
        (folder / name).write_text(secret)
        (folder / name).chmod(0o600)
    files = {"certificate_file": str(shown.certificate), "key_file": str(shown.key), "ca_file": str(authority.file)}
    ours = files | {"key_password_file": str(folder / "key")}
    pacs = FakePacs(tls=tls.context(authority.certificates("pacs.example"), ssl.PROTOCOL_TLS_SERVER))
    with (
        running_broker(folder / "broker") as broker,
        pacs.listening(),
        running_node(
            folder,
            pacs.destination(tls=ours, commitment="off"),
            tls=ours,
            receiving={"tls": True},
            queue=broker.queue,
            flower={"enabled": True, "password_file": str(folder / "page"), "read_only": False},
        ) as node,
    ):
        with ExitStack() as held:
            for _ in range(50):
                where = (node.settings.receiving.host, node.settings.receiving.port)
                held.enter_context(socket.create_connection(where, 10)).send(
                    b"\x16\x03\x01"
                )  # and no more of a handshake
            node.push(saved(make_cxr(**ATTACKS), folder / "film.dcm"), calling_ae=STATEMENT)
        node.wait_until_finished(1)
        yield looked_at(node, folder, pacs.stored)


def looked_at(node: RunningNode, folder: Path, stored: list[Dataset]) -> Seen:
    """Everything, while it runs."""
    seen = Seen(stored=stored)
    for command in SAID:
        ran = node.cxrnode(*command)
        seen.said[" ".join(command)] = f"{ran.stdout}{ran.stderr}"
    seen.said |= {"log": node.log.read_text(), "processes": "\n".join(node.children().values())}
    broker = redis.Redis.from_url(node.settings.broker_url)
    seen.said["broker"] = " ".join(str((key, broker.dump(key))) for key in broker.keys("*"))
    seen.pages = pages_of(node.settings.flower.port)
    for page in ("/", "/broker", "/tasks", "/api/workers", "/api/tasks", "/metrics"):
        seen.said[f"Flower's {page}"] = said_to(node.settings.flower.port, page, "GET", OPERATOR)[1]
    state = node.settings.node.state_dir
    kept = [state, *(path for path in state.rglob("*"))]
    seen.modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in kept if path.exists()}
    secrets = [secret.encode() for secret in SECRETS.values()]
    for path in (path for path in kept if path.is_file()):
        content = path.read_bytes()
        seen.holding += [path] * any(secret in content for secret in secrets)
    seen.received = node.status()["received"]
    seen.attacked = [*folder.rglob("attacked*"), *Path.cwd().glob("attacked*")]
    return seen


def pages_of(port: int) -> dict[str, int]:
    """What Flower answers to orders that are asked for from elsewhere; where it takes orders at all."""
    wait_for_flower(port)
    order = "/api/worker/pool/shrink/analyse@nowhere?n=0"
    elsewhere = OPERATOR | {"Origin": "http://evil.example"}
    return {
        "page": answer(port, "/", headers=OPERATOR),
        "order from another page": answer(port, order, "POST", OPERATOR | {"Sec-Fetch-Site": "cross-site"}),
        "order from another page of an old browser": answer(port, order, "POST", elsewhere),
        "order": answer(port, order, "POST", OPERATOR | {"Sec-Fetch-Site": "same-origin"}),
    }


def test_the_study_goes_through(seen: Seen) -> None:
    assert seen.received == 1
    assert len(seen.stored) == 2


def test_stalled_handshakes_were_told_when_they_ended(seen: Seen) -> None:
    assert seen.said["log"].count('"event": "handshake refused"') == 50


def test_the_values_are_values_and_nothing_else(seen: Seen) -> None:
    carried = ("PatientID", "PatientName", "AccessionNumber", "StudyID", "StudyDescription")
    assert [{name: str(one[name].value) for name in carried} for one in seen.stored] == [
        {name: ATTACKS[name] for name in carried}
    ] * 2
    assert seen.attacked == []


@pytest.mark.parametrize("question", ["trace ' OR '1'='1", "trace ../../ledger.sqlite", "show ' OR '1'='1"])
def test_a_question_that_is_an_attack_finds_nothing(seen: Seen, question: str) -> None:
    assert seen.said[question].startswith("cxrnode: ")


def test_no_secret_is_shown(seen: Seen) -> None:
    shown = [(of, where) for of, secret in SECRETS.items() for where, told in seen.said.items() if secret in told]

    assert shown == []
    assert seen.holding == []


def test_what_is_in_the_state_folder_is_for_its_owner_alone(seen: Seen) -> None:
    assert {path: oct(mode) for path, mode in seen.modes.items() if mode & 0o077} == {}


def test_flower_takes_no_order_from_another_page(seen: Seen) -> None:
    """What it says to who has no password, tests/browser/test_flower.py tells."""
    assert seen.pages == {
        "page": 200,
        "order from another page": 403,
        "order from another page of an old browser": 403,
        "order": 404,
    }
