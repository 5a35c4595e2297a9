"""Programs from elsewhere that judge our work: found, or the test skips and says what is not installed."""

import os
import shutil
from pathlib import Path

import pytest


def program(name: str) -> str:
    """The path of a peer's program; without it the test skips, and under CI=true fails."""
    path = shutil.which(name)
    if path is None and os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed; with CI=true every peer must be")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def library(path: str, package: str) -> Path:
    """The path of a peer's file; without it the test skips, and under CI=true fails."""
    if Path(path).is_file():
        return Path(path)
    if os.environ.get("CI") == "true":
        pytest.fail(f"{package} is not installed; with CI=true every peer must be")
    pytest.skip(f"{package} is not installed")
