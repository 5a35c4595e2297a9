"""docker/compose.yml: nobody is root, nothing is writable that need not be, no secret is in a file of ours."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cxrnode.cli import app
from cxrnode.settings import Settings, load
from tests.house.rooms import ROOT
from tests.peers import program

DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("cxrnode")}
SECRETS = ("broker-password", "ledger-password", "flower-password", "pgpass")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("CXRNODE_")]:
        monkeypatch.delenv(name)
    return load(DOCKER / "node.toml")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_writes_to_volumes_alone_gains_no_rights_and_says_how_it_is(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert "privileged" not in service
    assert re.search(r":v?[0-9]", service["image"]) or name in OURS, "a version, not whatever is latest"


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_is_nobody_of_the_machine(name: str) -> None:
    assert SERVICES[name]["user"] == "10001:10001"
    assert SERVICES[name]["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", OURS)
def test_what_a_service_starts_is_a_command(name: str) -> None:
    known = CliRunner().invoke(app, [*SERVICES[name]["command"], "--help"])

    assert known.exit_code == 0, known.output


def test_only_the_receiver_can_be_reached_from_other_machines() -> None:
    """Red when Flower's port, or that of the figures, is given to everybody."""
    ports = {name: one.get("ports", []) for name, one in SERVICES.items()}
    open_to_all = {name for name, given in ports.items() if any(not port.startswith("127.0.0.1:") for port in given)}

    assert open_to_all == {"receiver"}


def test_every_secret_is_a_file_that_is_not_here(settings: Settings) -> None:
    """Red when a password is written into compose.yml, node.toml or the Dockerfile."""
    assert {name: one["file"] for name, one in COMPOSE["secrets"].items()} == {
        name: f"secrets/{name}" for name in SECRETS
    }
    assert "docker/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert settings.queue.password_file == "/run/secrets/broker-password"  # noqa: S105  where it lies
    assert settings.flower.password_file == "/run/secrets/flower-password"  # noqa: S105  likewise
    assert settings.ledger_url.endswith("passfile=/run/secrets/pgpass")
    for service in SERVICES.values():
        named = set(re.findall(r"/run/secrets/([\w-]+)", json.dumps(service)))
        assert named <= set(service.get("secrets", []))
    for name in OURS:
        assert {"broker-password", "pgpass"} <= set(SERVICES[name]["secrets"])


def test_settings_volumes_and_ports_agree(settings: Settings) -> None:
    assert str(settings.node.state_dir) == "/var/lib/cxrnode"
    assert all("state:/var/lib/cxrnode" in one["volumes"] for one in OURS.values())
    assert SERVICES["receiver"]["ports"] == [f"{settings.receiving.port}:{settings.receiving.port}"]
    served = {"receiver": "receiver_port", "analysis": "analysis_port", "delivery": "delivery_port"}
    for name, port in served.items():
        assert f":{getattr(settings.metrics, port)}/metrics" in json.dumps(SERVICES[name]["healthcheck"])
    asked = (DOCKER / "prometheus.yml").read_text(encoding="utf-8")
    assert all(str(getattr(settings.metrics, port)) in asked for port in served.values())
    assert json.loads((DOCKER / "orthanc.json").read_text())["DicomModalities"]["cxrnode"] == [
        settings.node.ae_title,
        "receiver",
        settings.receiving.port,
    ]
    mounted = [one.split(":")[0] for service in SERVICES.values() for one in service.get("volumes", [])]
    assert [one for one in mounted if one.startswith(".") and not (DOCKER / one).exists()] == []
    assert {one for one in mounted if not one.startswith(".")} == set(COMPOSE["volumes"])


def test_prometheus_understands_its_settings_and_calls_its_jobs_as_the_alarms_do(tmp_path: Path) -> None:
    """Red when a job is called otherwise: the alarm that a service gives no answer would never go off."""
    for file in (DOCKER / "prometheus.yml", ROOT / "config" / "prometheus" / "alerts.yml"):
        shutil.copy(file, tmp_path)
    command = [program("promtool"), "check", "config", str(tmp_path / "prometheus.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    jobs = {
        path: {job["job_name"] for job in yaml.safe_load(path.read_text(encoding="utf-8"))["scrape_configs"]}
        for path in (DOCKER / "prometheus.yml", ROOT / "config" / "prometheus" / "prometheus.yml")
    }

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len({frozenset(named) for named in jobs.values()}) == 1


def test_only_what_the_dockerfile_copies_is_sent_to_the_engine() -> None:
    """Red when a folder is copied that .dockerignore keeps back, or one is let through that nobody copies."""
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (DOCKER / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    let_through = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()

    assert {word for line in copied for word in line.split()} == {one[1:] for one in let_through if one[:1] == "!"}


def test_the_broker_learns_its_password_where_nobody_can_read_it(tmp_path: Path) -> None:
    """Red when it is written on redis-server's command line."""
    shell, option, script = SERVICES["redis"]["command"]
    password = tmp_path / "broker-password"
    password.write_text("s3cret")
    socket = tmp_path / "redis.sock"
    words = script.replace("$$", "$").replace("/run/secrets/broker-password", str(password))
    assert "--" not in words
    words = words.replace("redis-server -", f"exec {program('redis-server')} - --port 0 --unixsocket {socket}")
    with subprocess.Popen([shell, option, words], cwd=tmp_path, stdout=subprocess.DEVNULL):
        try:
            cli = [program("redis-cli"), "-s", str(socket)]
            give_up = 100
            while (give_up := give_up - 1) and not socket.exists():
                subprocess.run(["sleep", "0.1"], check=True)
            bare = subprocess.run([*cli, "ping"], capture_output=True, text=True, check=False)
            known = os.environ | {"REDISCLI_AUTH": "s3cret"}
            asked = [
                subprocess.run([*cli, *ask], capture_output=True, text=True, check=True, env=known).stdout
                for ask in (["ping"], ["config", "get", "maxmemory-policy"])
            ]
        finally:
            subprocess.run([*cli, "shutdown", "nosave"], check=False, env=os.environ | {"REDISCLI_AUTH": "s3cret"})
    assert "NOAUTH" in bare.stdout
    assert asked == ["PONG\n", "maxmemory-policy\nnoeviction\n"]


def test_the_services_for_a_gpu_are_services() -> None:
    more = yaml.safe_load((DOCKER / "compose.gpu.yml").read_text(encoding="utf-8"))["services"]

    assert set(more) <= set(OURS)
    assert tomllib.loads((DOCKER / "node.toml").read_text(encoding="utf-8")).get("worker", {}) == {}
