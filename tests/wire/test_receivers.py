"""Two receivers of one node, processes of their own on one spool and one ledger: with TLS and without, side by side."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
import tomli_w

from cxrnode.commands.samples import free_ports
from cxrnode.errors import SettingsError
from cxrnode.settings import Settings, load
from cxrnode.settings.listener import MAIN
from cxrnode.spool import Spool
from tests.authority import Authority
from tests.builders import make_cxr
from tests.databases import ledger_url
from tests.fuzz.campaign import settled
from tests.fuzz.targets import Target
from tests.nodes import saved
from tests.peers import program

STARTS_WITHIN_S = 60


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def settings(tmp_path: Path, authority: Authority) -> Settings:
    secure, plain, metrics, further = free_ports(4)
    by = authority.certificates("node.example").model_dump()
    tables = {
        "node": {"state_dir": str(tmp_path / "state")},
        "ledger": {"url": ledger_url(tmp_path / "state")},
        "tls": {name: by[name] for name in ("certificate_file", "key_file", "ca_file")},
        "receiving": {"port": secure, "tls": True, "reserve_gb": 0.1, "quiet_s": 3600.0, "processes": 2},
        "receivers": [
            {"name": "plain", "ae_title": "PLAIN", "port": plain, "tls": False, "metrics_port": further}
            | {"senders": [{"ae_title": "OLDROOM", "addresses": ["127.0.0.1"]}]}
        ],
        "metrics": {"receiver_port": metrics},
    }
    config = tmp_path / "node.toml"
    config.write_text(tomli_w.dumps(tables), encoding="utf-8")
    return load(config)


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`cxrnode receive` with these, ended by its pid."""
    command = [sys.executable, "-m", "cxrnode.cli", "--config", str(folder / "node.toml"), "receive", *arguments]
    with (folder / "node.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()


def sent(film: Path, port: int, calling: str, called: str, *options: str) -> bool:
    """Whether DCMTK got it there."""
    command = [program("storescu"), *options, "-aet", calling, "-aec", called, "127.0.0.1", str(port), str(film)]
    return subprocess.run(command, check=False, timeout=30, capture_output=True).returncode == 0


def figures(port: int) -> str:
    """What Prometheus is answered."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def test_one_with_tls_and_one_without_fill_one_spool_and_one_ledger(
    tmp_path: Path, settings: Settings, authority: Authority
) -> None:
    """Red when the second takes the first's port, AE title, senders or TLS, and when both serve the node's figures."""
    shown = authority.certificates("dxroom1.example")
    over = ["+tls", shown.key_file, shown.certificate_file, "+cf", shown.ca_file]
    films = [saved(make_cxr(), tmp_path / f"{number}.dcm") for number in range(5)]
    main, plain = settings.listeners
    with ExitStack() as held:
        target = Target(settings, held.enter_context(running(tmp_path)), tmp_path)
        held.enter_context(running(tmp_path, "--receiver", "plain"))
        assert settled(lambda: sent(films[0], main.port, "DXROOM1", "CXRNODE", *over), STARTS_WITHIN_S)
        assert settled(lambda: sent(films[1], plain.port, "OLDROOM", "PLAIN"), STARTS_WITHIN_S)
        assert not sent(films[2], main.port, "OLDROOM", "CXRNODE"), "the first lets nobody in without TLS"
        assert not sent(films[3], plain.port, "DXROOM1", "PLAIN"), "the second has senders of its own"
        assert not sent(films[4], plain.port, "OLDROOM", "CXRNODE"), "the second has an AE title of its own"

        assert settled(lambda: target.counted() == 2, 20)
        assert settled(lambda: 'cxrnode_instances_total{calling_ae="OLDROOM"' in figures(plain.metrics_port), 20)
        assert settled(lambda: "cxrnode_account_instances" in figures(main.metrics_port), 20)
        assert "OLDROOM" not in figures(main.metrics_port)
        assert "cxrnode_account_instances" not in figures(plain.metrics_port)

    spool = Spool(settings.node.spool_dir)
    assert sorted(spool.receipt(key).called_ae for key in [*spool.keys()]) == ["CXRNODE", "PLAIN"]


def test_a_receiver_that_no_settings_name_is_not_started(tmp_path: Path, settings: Settings) -> None:
    command = [sys.executable, "-m", "cxrnode.cli", "--config", str(tmp_path / "node.toml"), "receive"]

    said = subprocess.run([*command, "--receiver", "plane"], capture_output=True, text=True, check=False, timeout=60)

    assert said.returncode == 2
    assert "there is no receiver 'plane'; wanted one of receiving, plain" in said.stderr
    assert settings.listener(MAIN) == settings.listeners[0]
    with pytest.raises(SettingsError):
        settings.listener("plane")
