"""`cxrnode check`: each fault is planted and found, named with what was wanted; what is well is well."""

import base64
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tomli_w

from cxrnode.check.looking import Result, look_at, looks
from cxrnode.receive import Receiver
from cxrnode.samples import free_ports
from cxrnode.settings import Settings, load
from cxrnode.spool import Spool
from models.card import ZOO_DIR
from tests.authority import Authority
from tests.brokers import running_broker
from tests.disks import small_disk
from tests.fakes import FakePacs
from tests.peers import program

WORD = "a-word-of-the-page"


def settings_of(folder: Path, **tables: dict[str, object]) -> Settings:
    """Settings whose ports are free ones, but for what is said."""
    receiver, *metrics, flower = free_ports(5)
    names = ("receiver_port", "analysis_port", "delivery_port")
    given: dict[str, dict[str, object]] = {
        "node": {"state_dir": str(folder / "state")},
        "receiving": {"port": receiver, "reserve_gb": 0.0},
        "metrics": dict(zip(names, metrics, strict=True)),
        "flower": {"port": flower, "password": WORD},
    }
    for name, table in tables.items():
        given.setdefault(name, {}).update(table)
    return Settings.model_validate(given)


def looked(settings: Settings, what: str) -> Result:
    ((_, look),) = (one for one in looks(settings) if one[0] == what)
    return look_at(what, look)


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    """Red when the ledger is opened or the spool laid out: they would be root's, where root looks."""
    settings = settings_of(tmp_path)

    found = [look_at(what, look) for what, look in looks(settings)]

    assert [one for one in found if not one.well] == []
    assert list(tmp_path.iterdir()) == []


def test_a_disk_with_too_little_room_is_told_with_whose(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        found = looked(settings_of(disk, receiving={"reserve_gb": 0.5}), "disk")

    assert not found.well
    assert f"spool: 0.01 GB free at {disk}; wanted 0.5 GB at the least" in found.told


def test_a_disk_on_which_few_files_can_be_made_is_wrong(tmp_path: Path) -> None:
    """Red without the look at `f_favail`."""
    with small_disk(tmp_path / "disk", 8, files=500) as disk:
        found = looked(settings_of(disk), "disk")

    assert not found.well
    assert "files can be made at" in found.told
    assert "wanted 10,000 at the least (df -i)" in found.told


def test_the_temporary_files_have_a_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red without them among the folders."""
    with small_disk(tmp_path / "disk", 8) as disk:
        monkeypatch.setattr("tempfile.tempdir", str(disk))
        found = looked(settings_of(tmp_path), "disk")

    assert not found.well
    assert f"temporary files: 0.01 GB free at {disk}; wanted 0.1 GB" in found.told


def test_a_folder_in_whose_place_a_file_lies_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")

    found = looked(settings_of(tmp_path), "disk")

    assert not found.well
    assert f"spool: {tmp_path / 'state'} cannot be written" in found.told


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

    def guarded(_path: str, word: str) -> tuple[int, str]:
        return (200, "<title>Flower</title>") if word == right else (401, "")

    with answering(guarded) as port:
        assert looked(settings_of(tmp_path, flower={"port": port}), "Flower").well
        other = looked(settings_of(tmp_path, flower={"port": port, "password": "another-password"}), "Flower")
    assert not other.well
    assert "wanted it free, or Flower with the settings' password" in other.told


def test_flower_that_is_open_to_anybody_is_wrong(tmp_path: Path) -> None:
    with answering(lambda *_: (200, "<title>Flower</title>")) as port:
        found = looked(settings_of(tmp_path, flower={"port": port}), "Flower")

    assert not found.well
    assert "shows Flower to anybody" in found.told


@pytest.mark.parametrize("word", ["short", ""])
def test_a_password_of_flower_that_is_soon_guessed_or_empty_is_wrong(tmp_path: Path, word: str) -> None:
    (tmp_path / "word").write_text(word)
    settings = settings_of(tmp_path, flower={"password": "", "password_file": str(tmp_path / "word")})

    assert not looked(settings, "Flower's password").well
    (tmp_path / "word").write_text(WORD)
    assert looked(settings, "Flower's password").well
    assert looked(settings_of(tmp_path, flower={"password": ""}), "Flower's password").told.startswith("will be made")


def test_a_broker_that_asks_for_a_password_is_well(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker:
        (tmp_path / "password").chmod(0o600)
        found = looked(settings_of(tmp_path, queue=broker.queue), "broker")

    assert (found.well, found.told) == (True, "answers; 0 tasks wait; asks for a password")


@contextmanager
def open_broker(folder: Path, *options: str) -> Iterator[str]:
    """A redis-server that asks nobody for a password, on an address of this machine that is not loopback's own name."""
    (port,) = free_ports(1)
    command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as process:
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert process.poll() is None
            yield f"redis://{{host}}:{port}/0"
        finally:
            process.terminate()


def test_a_broker_on_another_machine_that_asks_nobody_for_a_password_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red without the question that is put without one."""
    with open_broker(tmp_path) as url:
        here = looked(settings_of(tmp_path, queue={"broker_url": url.format(host="127.0.0.1")}), "broker")
        monkeypatch.setattr("cxrnode.check.passwords.is_here", lambda _host: False)
        found = looked(settings_of(tmp_path, queue={"broker_url": url.format(host="127.0.0.1")}), "broker")

    assert here.told.endswith("asks nobody on this machine for a password")
    assert not found.well
    assert "asks nobody for a password" in found.told


def test_a_broker_that_may_forget_tasks_is_wrong(tmp_path: Path) -> None:
    with open_broker(tmp_path, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as url:
        found = looked(settings_of(tmp_path, queue={"broker_url": url.format(host="127.0.0.1")}), "broker")

    assert not found.well
    assert "(allkeys-lru); wanted noeviction" in found.told


@pytest.mark.parametrize(
    ("tables", "mode", "told"),
    [
        ({}, 0o644, ""),
        ({}, 0o666, "mode 0666 lets anybody change the settings"),
        ({"flower": {"password": WORD}}, 0o640, ""),
        ({"flower": {"password": WORD}}, 0o644, "mode 0644, and flower.password has a password in it"),
        ({"queue": {"broker_url": "redis://:w@h:1/0"}}, 0o644, "queue.broker_url has a password in it"),
        ({"ledger": {"url": "postgresql://u:w@h/d"}}, 0o644, "ledger.url has a password in it"),
    ],
)
def test_a_settings_file_with_a_password_is_not_for_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: dict[str, object], mode: int, told: str
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(tomli_w.dumps({"node": {"state_dir": str(tmp_path / "state")}} | tables))
    file.chmod(mode)
    monkeypatch.setenv("CXRNODE_CONFIG", str(file))

    found = looked(load(file), "permissions")

    assert (found.well, told in found.told) == (not told, True)
    assert WORD not in found.told


@pytest.mark.parametrize("which", ["queue.key_file", "audit.key_file", "passfile"])
def test_each_file_with_a_secret_is_for_this_user_alone(tmp_path: Path, which: str) -> None:
    """Red for whichever is left out of `secret_files`."""
    shown = Authority(tmp_path / "ca").signed("node.example")
    files = {"certificate_file": str(shown.certificate), "key_file": str(shown.key)}
    tables: dict[str, dict[str, object]] = {
        "queue.key_file": {"queue": {"broker_url": "rediss://h:1/0", "ca_file": "/ca.pem", **files}},
        "audit.key_file": {"audit": {"syslog": "tls", "host": "h", **files}},
        "passfile": {"ledger": {"url": f"postgresql://u@h/d?passfile={shown.key}"}},
    }[which]
    settings = settings_of(tmp_path, **tables)

    assert looked(settings, "permissions").well
    shown.key.chmod(0o640)
    assert f"{shown.key}: mode 0640 lets others in" in looked(settings, "permissions").told


def test_weights_that_are_not_the_cards_are_wrong(tmp_path: Path) -> None:
    name = Settings().model.name
    shutil.copytree(ZOO_DIR / name, tmp_path / "zoo" / name)
    settings = settings_of(tmp_path, model={"zoo_dir": str(tmp_path / "zoo")})
    assert looked(settings, "weights").well

    (file,) = (tmp_path / "zoo" / name).glob("*.safetensors")
    with file.open("r+b") as weights:
        weights.seek(-1, 2)
        weights.write(b"\x2a")
    found = looked(settings, "weights")

    assert not found.well
    assert f"{file} has sha256" in found.told
