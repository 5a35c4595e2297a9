"""The systemd units of config/systemd: systemd understands them, finds them tight, and they call what there is."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cxrnode.cli import Role, app
from cxrnode.settings import load
from tests.house.rooms import ROOT
from tests.peers import program

FOLDER = ROOT / "config" / "systemd"
SERVICES = sorted(FOLDER.glob("*.service"))
PROGRAM = "/srv/cxrnode/venv/bin/cxrnode"
TIGHT = 20
"""Tenths of systemd's "exposure level": 10.0 may do everything, up to 2.0 is "OK" in its words."""
HARDENED = re.compile(r"# What it may do.*?(?=\n\n)", re.DOTALL)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units as they are installed, drop-ins too, with a program that is there."""
    for file in (*SERVICES, *FOLDER.glob("*.target")):
        text = file.read_text(encoding="utf-8").replace(PROGRAM, sys.executable)
        (tmp_path / file.name).write_text(text, encoding="utf-8")
    installed = {"secrets.conf": "cxrnode-.service.d", "gpu.conf": "cxrnode-worker@analyse.service.d"}
    for name, where in installed.items():
        assert where in (FOLDER / name).read_text(encoding="utf-8"), "it says itself where it goes"
        (tmp_path / where).mkdir()
        (tmp_path / where / name).write_text((FOLDER / name).read_text(encoding="utf-8"), encoding="utf-8")
    assert set(installed) == {file.name for file in FOLDER.glob("*.conf")}
    return tmp_path


def analyse(units: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:"}
    command = [program("systemd-analyze"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=units)


def test_systemd_understands_every_line(units: Path) -> None:
    """Red when a directive is misspelt: systemd would go on without it."""
    names = ["cxrnode.target", *(file.name.replace("@", "@analyse") for file in SERVICES)]
    said = analyse(units, "verify", "--man=no", "--recursive-errors=one", *names)

    assert (said.returncode, [line for line in said.stderr.splitlines() if "cxrnode" in line]) == (0, [])


def test_a_line_that_systemd_does_not_know_is_found(units: Path) -> None:
    flower = units / "cxrnode-flower.service"
    flower.write_text(flower.read_text().replace("ProtectSystem", "ProtectSytem"))

    assert "ProtectSytem" in analyse(units, "verify", "--man=no", "cxrnode-flower.service").stderr


@pytest.mark.parametrize("service", SERVICES, ids=lambda file: file.name)
def test_a_service_may_do_little(units: Path, service: Path) -> None:
    """Red without `SystemCallFilter`."""
    name = service.name.replace("@", "@deliver")
    if name != service.name:
        (units / name).write_text((units / service.name).read_text())  # offline it looks at files
    said = analyse(units, "security", "--offline=yes", f"--threshold={TIGHT}", "--no-pager", str(units / name))

    assert said.returncode == 0, said.stdout[-400:] + said.stderr


def test_all_services_are_held_in_the_same_way() -> None:
    assert len({HARDENED.findall(file.read_text(encoding="utf-8"))[0] for file in SERVICES}) == 1


@pytest.mark.parametrize("service", SERVICES, ids=lambda file: file.name)
def test_no_service_starts_without_the_disk_that_it_writes_to(service: Path) -> None:
    """Red when one starts on an empty mount point: it would make a new ledger and salt there, and take images."""
    text = service.read_text(encoding="utf-8")
    (written,) = re.findall(r"^ReadWritePaths=(.*)$", text, re.MULTILINE)
    (unit, _) = text.split("[Service]")

    assert re.findall(r"^RequiresMountsFor=(.*)$", unit, re.MULTILINE) == [written]


def commands() -> Iterator[list[str]]:
    for file in SERVICES:
        for line in re.findall(r"^ExecStart=(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE):
            called, config, where, *words = line.split()
            assert (called, config, where) == (PROGRAM, "--config", "/etc/cxrnode/node.toml")
            yield words


@pytest.mark.parametrize("words", [*commands()], ids=" ".join)
def test_what_a_service_starts_is_a_command(words: list[str]) -> None:
    for instance in Role if "work" in words else ["plain"]:
        known = CliRunner().invoke(app, [*(str(instance) if word == "%i" else word for word in words), "--help"])
        assert known.exit_code == 0, known.output


def test_the_target_wants_every_service_and_each_role() -> None:
    (wants,) = re.findall(r"^Wants=(.*)$", (FOLDER / "cxrnode.target").read_text(encoding="utf-8"), re.MULTILINE)
    workers = {f"cxrnode-worker@{role.value}.service" for role in Role}

    assert set(wants.split()) == {file.name for file in SERVICES if "@" not in file.name} | workers


def test_the_settings_that_a_unit_makes_of_its_credentials_are_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when a setting's name is wrong: the program refuses what it does not know."""
    text = (FOLDER / "secrets.conf").read_text(encoding="utf-8")
    loaded = dict(re.findall(r"^LoadCredential=([^:]+):(\S+)$", text, re.MULTILINE))
    made = dict(re.findall(r"^Environment=(\w+)=%d/(\S+)$", text, re.MULTILINE))
    assert sorted(made.values()) == sorted(loaded)
    monkeypatch.setenv("CXRNODE_QUEUE__BROKER_URL", "redis://redis.example:6379/0")
    for name, file in made.items():
        (tmp_path / file).write_text("secret")
        monkeypatch.setenv(name, str(tmp_path / file))

    settings = load()

    assert settings.broker_url == "redis://:secret@redis.example:6379/0"
    assert settings.flower.password_file == str(tmp_path / "flower-password")
