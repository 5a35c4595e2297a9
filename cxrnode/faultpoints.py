"""The moments of a study's day at which a test makes this process die, stop or run out of memory; in service, nothing.

A test names a folder in CXRNODE_FAULTS and puts a file there that is named after a point and holds a fault. The first
process to reach the point takes the file away and suffers the fault. Without the variable a point costs a comparison.
"""

import os
import signal
from enum import StrEnum
from pathlib import Path

FAULTS = os.environ.get("CXRNODE_FAULTS", "")


class Point(StrEnum):
    """The arrows of a study's day, in its order."""

    ACCEPTED = "association accepted"
    MID_DATA_SET = "mid data set"
    BEFORE_FSYNC = "written, before fsync"
    BEFORE_RENAME = "after fsync, before the rename"
    BEFORE_RESPONSE = "after the rename, before the response"
    BEFORE_INGEST = "before the receipt is ingested"
    AFTER_INGEST = "after the receipt is ingested"
    BEFORE_SUBMIT = "before submit"
    AFTER_SUBMIT = "after submit"
    LEASED = "analysis leased"
    MID_ANALYSIS = "mid analysis"
    RESULTS_KEPT = "results kept, before the ledger"
    ANALYSED = "analysis in the ledger"
    BEFORE_STORE = "before C-STORE"
    MID_STORE = "mid C-STORE"
    AFTER_STORE = "archive answered, before the ledger"
    STORED = "all fates in the ledger"
    BEFORE_REQUEST = "before the commitment request"
    AFTER_REQUEST = "archive took the request, before the ledger"
    BEFORE_REPORT = "before the commitment report is kept"
    AFTER_REPORT = "report kept, before the answer"


class Fault(StrEnum):
    """What a process suffers at a point."""

    KILL = "kill -9 of the process"
    KILL_ALL = "kill -9 of the process and its parent"
    STOP_ALL = "process and parent paused"
    MEMORY = "out of memory"
    HANG = "hangs for ever"


def reached(point: Point) -> None:
    """Suffer the fault that was planted here, if any was."""
    if FAULTS:
        _suffer(Path(FAULTS, point))


def _suffer(planted: Path) -> None:
    try:
        fault = planted.read_text(encoding="utf-8")
        planted.unlink()  # one process alone succeeds
    except FileNotFoundError:
        return
    match Fault(fault):
        case Fault.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Fault.KILL_ALL:
            os.killpg(0, signal.SIGKILL)
        case Fault.STOP_ALL:
            os.killpg(0, signal.SIGSTOP)
        case Fault.MEMORY:
            raise MemoryError(planted.name)
        case Fault.HANG:
            while True:
                signal.pause()
