"""The driver of a headless Chromium, and the viewer, fetched once by npm into pytest's cache."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.house.rooms import ROOT
from tests.peers import program

HERE = Path(__file__).parent
ARTEFACTS = Path(os.environ.get("CXRNODE_ARTEFACTS") or ROOT / "tests-out")
PATIENCE_S = 120


@pytest.fixture(scope="session")
def modules(request: pytest.FixtureRequest) -> Path:
    """The folder with the viewer and the driver, as package-lock.json pins them; fetched the first time."""
    npm = program("npm")
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = Path(request.config.cache.mkdir(f"viewer-{digest}"))
    done = folder / "complete"
    if not done.exists():
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        fetched = subprocess.run(
            [npm, "ci", *quiet], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        if fetched.returncode:
            pytest.skip(f"the viewer cannot be fetched: {fetched.stderr.strip()[-300:]}")
        done.touch()
    return folder / "node_modules"


def driving(modules: Path, script: str, *arguments: object) -> subprocess.Popen[str]:
    """One of the scripts beside this, with Chromium; a folder for what the tests leave is there."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    command = [program("node"), HERE / script, program("chromium"), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(list(map(str, command)), cwd=modules.parent, **pipes)


def ended(browser: subprocess.Popen[str], patience_s: float = PATIENCE_S) -> Any:
    """What it told last, which is JSON."""
    with browser:
        try:
            said, fault = browser.communicate(timeout=patience_s)
        finally:
            browser.kill()
    assert browser.returncode == 0, fault
    return json.loads(said.splitlines()[-1])


def driven(modules: Path, script: str, *arguments: object) -> Any:
    """What one of them tells from beginning to end."""
    return ended(driving(modules, script, *arguments))
