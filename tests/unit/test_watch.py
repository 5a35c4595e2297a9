"""`cxrnode status --watch`: the tables again and again, while a ledger is away too, until Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

CTRL_C = ["env", "--default-signal=INT", "--unset=PYTHONUNBUFFERED"]
"""Of the terminal: what a shell begins in the background ignores it, and so do its children."""
WATCH = [sys.executable, "-m", "cxrnode.cli", "status", "--watch"]


def told(folder: Path, every_s: str, times: int, wanted: str) -> int:
    """Its exit status after Ctrl-C, when it has said `wanted` so often."""
    environment = os.environ | {"CXRNODE_NODE__STATE_DIR": str(folder)}
    with subprocess.Popen([*CTRL_C, *WATCH, every_s], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = 0
        for line in process.stdout:
            seen += wanted in line
            if seen == times:
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()
    assert seen == times
    return process.returncode


def test_it_is_said_again_until_ctrl_c(tmp_path: Path) -> None:
    """Red without the loop, and without `suppress`."""
    assert told(tmp_path, "0.1", 3, "Ctrl-C ends it") == 0


def test_a_ledger_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Red without `except LedgerUnavailable`, and where it waits for an hour before a pipe has what it said."""
    (tmp_path / "ledger.sqlite").write_bytes(b"no database at all " * 500)
    assert told(tmp_path, "3600", 1, "not a database") == 0


def test_it_is_no_way_to_count_anew() -> None:
    ended = subprocess.run([*WATCH, "5", "--recount"], capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert "wanted without --json and --recount" in " ".join(ended.stderr.replace("│", " ").split())
