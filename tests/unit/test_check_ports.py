"""`cxrnode check` and the ports: each is free, or this node's own by what answers there, or another's, who is named."""

import base64
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cxrnode.check.holders import holders
from cxrnode.commands.samples import free_ports
from cxrnode.receive import Receiver
from cxrnode.settings import Settings
from cxrnode.spool import Spool
from tests.fakes import FakePacs
from tests.unit.test_check import WORD, looked, settings_of


@contextmanager
def answering(page: Callable[[str, str], tuple[int, str]]) -> Iterator[int]:
    """A web server of another program; it answers status and page to path and Authorization."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = page(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("what", "table", "name"),
    [
        ("receiver", "receiving", "port"),
        ("metrics of receiver", "metrics", "receiver_port"),
        ("metrics of analysis", "metrics", "analysis_port"),
        ("metrics of delivery", "metrics", "delivery_port"),
        ("Flower", "flower", "port"),
    ],
)
def test_a_port_that_another_program_has_is_told_with_its_process(
    tmp_path: Path, what: str, table: str, name: str
) -> None:
    """Each is free at first. Red for whichever is left out of `ports`."""
    assert "is free" in looked(settings_of(tmp_path), what).told

    listener = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    with running(f"{listener}; s.accept(); sys.stdin.read()") as (pid, port):
        found = looked(settings_of(tmp_path, **{table: {name: port}}), what)

    assert not found.well
    assert f"127.0.0.1:{port} is taken by process {pid} (python" in found.told


@contextmanager
def running(code: str) -> Iterator[tuple[int, int]]:
    """A process of Python that prints its port; its pid and that."""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def test_a_connection_is_nobody_who_listens() -> None:
    """Red when sockets of every state are taken for such."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as calling:
        assert holders(calling.getsockname()[1]) == []
        assert len(holders(server.getsockname()[1])) == 1


def test_the_receivers_port_is_its_own_when_it_answers_as_this_node(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    receiver = Receiver("CXRNODE", settings.listeners[0], Spool(tmp_path / "spool"), lambda _receipt: None)
    receiver.start()
    try:
        found = looked(settings, "receiver")
        named = settings_of(tmp_path, node={"ae_title": "OTHER"}, receiving={"port": settings.receiving.port})
        other = looked(named, "receiver")
    finally:
        receiver.stop()

    assert (found.well, found.told) == (True, f"127.0.0.1:{settings.receiving.port} is this node's: CXRNODE answers")
    assert not other.well, "a receiver of another AE title"
    assert "Called AE title not recognised" in other.told


def test_another_dicom_program_at_the_receivers_port_is_not_ours(tmp_path: Path) -> None:
    """Red when an answer is enough, whosever it is: this one takes any AE title."""
    with FakePacs().listening() as pacs:
        found = looked(settings_of(tmp_path, receiving={"port": pacs.port}), "receiver")

    assert not found.well
    assert "it answers as another program (1.2.826.0.1.3680043.9.3811" in found.told


def test_a_receiver_that_nobody_may_call_from_here_is_known_by_its_process(tmp_path: Path) -> None:
    senders = [{"ae_title": "DXROOM1", "addresses": ["192.0.2.0/24"]}]
    with FakePacs().listening() as pacs:
        found = looked(settings_of(tmp_path, receiving={"port": pacs.port, "senders": senders}), "receiver")

    assert not found.well
    assert "is taken by process " in found.told
    assert "answers" not in found.told, "it was not called"


def test_an_address_that_is_not_this_machines_is_wrong(tmp_path: Path) -> None:
    found = looked(settings_of(tmp_path, receiving={"host": "192.0.2.1"}), "receiver")

    assert not found.well
    assert "192.0.2.1:" in found.told
    assert "cannot be listened at (Cannot assign requested address)" in found.told


def test_each_further_receiver_is_looked_at(tmp_path: Path) -> None:
    """Red when the one of [receiving] alone is."""
    with FakePacs().listening() as pacs:
        given = settings_of(tmp_path).model_dump(exclude_unset=True)
        settings = Settings.model_validate(given | {"receivers": [{"name": "plain", "port": pacs.port}]})
        found, first = looked(settings, "receiver plain"), looked(settings, "receiver")

    assert first.well
    assert not found.well
    assert "it answers as another program" in found.told


def test_two_parts_at_one_port_are_wrong(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    settings = settings_of(tmp_path, metrics={"analysis_port": port}, flower={"port": port, "host": "0.0.0.0"})  # noqa: S104  nothing listens

    found = looked(settings, "ports")

    assert (found.well, found.told) == (
        False,
        f"that of analysis's metrics and that of Flower are both {port}; wanted a port each",
    )


def test_figures_that_are_served_are_this_nodes(tmp_path: Path) -> None:
    with answering(lambda path, _: (200, "# HELP\ncxrnode_up 1\n" if path == "/metrics" else "")) as port:
        assert looked(settings_of(tmp_path, metrics={"receiver_port": port}), "metrics of receiver").well
    with answering(lambda *_: (200, "# HELP\nother_up 1\n")) as port:
        assert not looked(settings_of(tmp_path, metrics={"receiver_port": port}), "metrics of receiver").well


def test_flowers_page_is_its_own_where_it_wants_the_settings_password(tmp_path: Path) -> None:
    right = f"Basic {base64.b64encode(f'operator:{WORD}'.encode()).decode()}"

    def guarded(path: str, word: str) -> tuple[int, str]:
        return (200, "<title>Flower</title>") if (path, word) == ("/here/", right) else (401, "")

    with answering(guarded) as port:
        flower = {"port": port, "url_prefix": "/here"}
        assert looked(settings_of(tmp_path, flower=flower), "Flower").well
        other = looked(settings_of(tmp_path, flower=flower | {"password": "another-password"}), "Flower")
    assert not other.well
    assert "wanted it free, or Flower with the settings' password" in other.told


def test_flower_that_is_open_to_anybody_is_wrong(tmp_path: Path) -> None:
    with answering(lambda *_: (200, "<title>Flower</title>")) as port:
        found = looked(settings_of(tmp_path, flower={"port": port}), "Flower")

    assert not found.well
    assert "shows Flower to anybody" in found.told
