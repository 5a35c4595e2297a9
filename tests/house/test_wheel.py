"""The wheel is whole: in an environment of its own, away from the checkout, it reads a film."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import pytest

from cxrnode.commands import samples
from tests.house.rooms import PACKAGES, ROOT, modules

WORDS = {"PYTHONPATH", "CXRNODE_CONFIG"}  # what would lead the installed node back to this checkout
ALONE = {name: value for name, value in os.environ.items() if name not in WORDS}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that nothing is left in the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", source, cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment's Python with the wheel, and the libraries installed here, but not what is editable here."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=environment)
    home = next(environment.glob("lib/python*/site-packages"))
    (home / "libraries.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")  # whose own .pth do not count
    return python


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in ZipFile(wheel).namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {*PACKAGES}
    run(Path(sys.executable).with_name("check-wheel-contents"), wheel, cwd=ROOT)


def test_the_wheel_holds_every_room_and_all_that_they_read_when_running(wheel: Path) -> None:
    held = set(ZipFile(wheel).namelist())
    folders = ("cxrnode/results/fonts", "cxrnode/results/languages", "cxrnode/pages", "models/zoo/*")
    read = [path for folder in folders for path in ROOT.glob(f"{folder}/*")]

    wanted = {str(path.relative_to(ROOT)) for path in (*modules().values(), *read)}
    assert wanted - held == set()


def test_the_import_names_are_this_distribution_s_alone(python: Path) -> None:
    code = "import json, importlib.metadata as i; print(json.dumps(i.packages_distributions()))"
    owners = json.loads(run(python, "-c", code, cwd=python.parent))

    assert {package: set(owners[package]) for package in PACKAGES} == {package: {"cxrnode"} for package in PACKAGES}


def test_the_installed_wheel_reads_a_film(python: Path, tmp_path: Path) -> None:
    code = "import cxrnode, models, workers; print(cxrnode.__file__, models.__file__, workers.__file__)"
    files = run(python, "-c", code, cwd=tmp_path).split()
    assert [file for file in files if not file.startswith(str(python.parents[1]))] == []

    chest, *_ = samples.gather(tmp_path / "in")
    cxrnode, out = python.with_name("cxrnode"), tmp_path / "out"
    (line,) = run(cxrnode, "analyse", chest, "--out", out, "--json", cwd=tmp_path).splitlines()

    said = json.loads(line)
    assert said["outcome"] in {"positive", "negative"}
    assert 0.0 <= said["probability"] <= 1.0
    assert (said["lung_share"] is not None) is (said["outcome"] == "positive"), "the segmenter is in the wheel too"
    assert {"report", "overlay"} <= {Path(name).stem.partition("-")[0] for name in said["objects"]}


def run(*command: str | Path, cwd: Path) -> str:
    """What the program prints; its complaints are shown when it fails."""
    ended = subprocess.run(command, cwd=cwd, env=ALONE, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout
