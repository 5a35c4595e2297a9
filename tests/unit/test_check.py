"""`cxrnode check`: each fault is planted and found, named with what was wanted; what is well is well."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tomli_w

from cxrnode.check.looking import Result, look_at, looks
from cxrnode.commands.samples import free_ports
from cxrnode.settings import Settings, load
from models.card import ZOO_DIR
from tests.authority import Authority
from tests.brokers import running_broker
from tests.disks import small_disk
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
