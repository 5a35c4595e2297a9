"""Set-up that cannot succeed says why in one line, and no service is started by installing its package."""

import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.house.rooms import ROOT


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """.ci/setup.py as a module of its own, its files in `tmp_path`."""
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / ".ci" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, path in {"VENV": ".venv", "LOG": "setup.log", "STAMP": "stamp.json", "POLICY": "policy-rc.d"}.items():
        monkeypatch.setattr(module, name, tmp_path / path)
    return module


def test_an_old_python_is_named_with_what_was_wanted(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\ncase "$2" in *exit*) exit 1;; *) echo 3.9.2;; esac\n', encoding="utf-8")
    old.chmod(0o755)

    ended = subprocess.run(
        [ROOT / ".ci" / "setup", "demo"],
        env=os.environ | {"PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"set-up failed: cxrnode wants Python 3.11 or newer; found: {old} is 3.9.2;",
    ]


def test_a_small_disk_is_refused_before_the_download_with_what_was_wanted(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda _path: SimpleNamespace(free=4e9))

    with pytest.raises(setup.SetupFailedError, match=r"^4\.0 GB are free where .+; wanted 9\.5 GB$"):
        setup.install_packages(frozenset({"demo"}))


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No distribution found",
            "no network",
        ),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("E: Failed to fetch somewhere  Temporary failure resolving", "no network"),
        ("E: Unable to locate package dcmtk", "E: Unable to locate package dcmtk"),
        ("nothing that anybody knows", "a reason not known"),
    ],
)
def test_a_log_is_told_in_one_line(setup: ModuleType, log: str, words: str) -> None:
    assert words in setup.meaning(log)
    assert "\n" not in setup.meaning(log)


def test_a_program_that_fails_leaves_its_output_in_the_log(setup: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(setup.SetupFailedError, match=r"^packages: ERROR: no such thing \(all of it: .*setup\.log\)$"):
        setup.follow("packages", ["sh", "-c", "echo begun; echo ERROR: no such thing; exit 1"])

    assert (tmp_path / "setup.log").read_text(encoding="utf-8").startswith("begun\n")


def test_services_are_forbidden_to_start_only_while_packages_are_installed(setup: ModuleType) -> None:
    with setup.services_left_alone():
        assert subprocess.run([setup.POLICY, "redis-server", "start"], check=False).returncode == 101

    assert not setup.POLICY.exists()


def test_a_policy_that_lets_services_start_is_left_alone_and_nothing_is_installed(setup: ModuleType) -> None:
    setup.POLICY.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    setup.POLICY.chmod(0o755)

    with pytest.raises(setup.SetupFailedError, match=r"policy-rc\.d answers 0 \(wanted 101\)"):
        setup.apt_install(["nothing"])

    assert setup.POLICY.exists()


@pytest.mark.parametrize("ci", ["true", ""])
def test_missing_peers_are_listed_and_are_a_fault_only_in_ci(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(setup, "can_install", lambda: False)
    monkeypatch.setattr(setup, "PEERS", {"no-such-package": "no-such-program"})

    if ci:
        with pytest.raises(setup.SetupFailedError, match="apt-get install no-such-package"):
            setup.install_peers()
    else:
        setup.install_peers()
        assert "apt-get install no-such-package" in capsys.readouterr().out
