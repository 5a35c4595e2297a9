"""The fuzzer of `analyse`, in a process of its own that has a watchdog and a limit on its memory."""

import subprocess
import sys
from pathlib import Path

from tests.fuzz.campaign import tell


def test_no_file_spoils_more_than_its_own_study(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.analysis", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    tell("\n".join(line for line in ended.stdout.splitlines() if line.startswith("fuzz")))
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr[-6000:]}\nthe files are in {tmp_path}"
