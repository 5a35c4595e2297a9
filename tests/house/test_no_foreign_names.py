"""Nothing in the repository belongs to one machine, one network or one patient."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from tests import golden
from tests.house.rooms import ROOT

MACHINES = re.compile(r"/(root|home|work|opt|Users|mnt|media)/\w")
REGISTRIES = re.compile(
    r"\b(pypi\.(org|python)|pythonhosted\.org|download\.pytorch|npmjs\.(org|com)|deb\.debian\.org)\b"
)
PICTURES = {".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".jp2", ".tif", ".tiff", ".npy", ".npz"}

PLOTS = {"curves.png", "roc.png", "calibration.png", "confusion.png"}
RUNS = (ROOT / "models" / "runs", ROOT / "models" / "zoo")


def tracked() -> list[Path]:
    """Every file that git keeps; without git, there is nothing to ask."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing tells which files are tracked")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("pattern", [MACHINES, REGISTRIES], ids=["path of one machine", "host of a registry"])
def test_no_tracked_file_names_a_machine_or_a_registry(pattern: re.Pattern[str]) -> None:
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in tracked()}

    found = {
        str(path.relative_to(ROOT)): match.group() for path, text in texts.items() if (match := pattern.search(text))
    }
    assert found == {}


def test_no_tracked_file_is_an_image_but_plots_of_runs_and_pictures_of_a_made_up_film() -> None:
    images = [path for path in tracked() if path.suffix.lower() in PICTURES or path.read_bytes()[128:132] == b"DICM"]

    drawn = set(map(golden.path_of, golden.PICTURES))  # and a test holds each to what is drawn
    assert [
        path for path in images if not (path.name in PLOTS and path.parent.parent in RUNS) and path not in drawn
    ] == []


def test_no_tracked_file_is_one_of_the_shared_data(shared_data: Path) -> None:
    manifests = sorted(shared_data.rglob("*manifest.csv"))
    assert manifests
    theirs = {digest for path in manifests for digest in re.findall(r"\b[0-9a-f]{64}\b", path.read_text("utf-8"))}
    theirs |= {sha256(path) for path in (*manifests, *shared_data.rglob("*.md"))}

    assert [path for path in tracked() if sha256(path) in theirs] == []


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
