"""A small disk for a test to fill: a tmpfs of its own, where this machine lets us mount one."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MB = 1024 * 1024


@contextmanager
def small_disk(folder: Path, size_mb: int, files: int = 0) -> Iterator[Path]:
    """An empty file system of `size_mb` at `folder`, with room for so many files (0: for any number).

    The test skips where it cannot be mounted.
    """
    folder.mkdir()
    options = f"size={size_mb}m,mode=0700,nr_inodes={files}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "cxrnode-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Fill a disk up to `leave` bytes; returns what fills it."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        for _ in range((shutil.disk_usage(disk).free - leave) // 4096):
            file.write(bytes(4096))
    return ballast
