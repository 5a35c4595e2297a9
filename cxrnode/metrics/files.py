"""Where the processes of a service count: in files of their own (prometheus-client's multiprocess mode).

They lie in a folder that lasts as long as the service does. The files are memory to their processes, and a write that
finds no room on a full disk would kill whoever writes: so their room is taken before anything is counted.
"""

import fcntl
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from cxrnode.draft import locked
from cxrnode.log import logger
from cxrnode.settings import Settings
from cxrnode.whole import for_its_owner

LOG = logger("metrics")
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
KINDS = ("counter", "histogram", "gauge_max", "gauge_livemostrecent", "gauge_livemax", "gauge_livesum")
"""What the files of a process are called, by the kinds of figures in counts.py."""
ENDED = "ended"
"""In place of a process's number: the files of those that have ended, added up."""
ROOM = 2**18
"""Bytes of each: some thousand figures."""
MEMORY = "/dev/shm"  # noqa: S108  where files are memory; mkdtemp makes a name of its own
_held = ExitStack()


def begin(settings: Settings, port: int) -> None:
    """Have this process, and those that it will fork, count in files; nothing where the service has no port.

    Before prometheus-client is imported, which looks for the folder then. Folders of services that have ended go.
    Where there is no room for the files nothing is served: a node works without.
    """
    if not port:
        return
    if "prometheus_client" in sys.modules:
        raise AssertionError("prometheus_client was imported already; wanted to say before where its files lie")
    parent = settings.node.run_dir / "metrics"
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(parent):
            for left in list(parent.iterdir()):
                with suppress(BlockingIOError, FileNotFoundError), locked(left):
                    shutil.rmtree(left, ignore_errors=True)
            folder = parent / secrets.token_hex(8)
            folder.mkdir(mode=0o700)
            _held.enter_context(locked(folder))
        _take_room(folder, ENDED)
        _take_room(folder, str(os.getpid()))
    except OSError as error:
        LOG.error("metrics not served", reason=error.strerror)
        return
    os.register_at_fork(after_in_child=partial(_be_a_child, folder))
    os.environ[VARIABLE] = str(folder)


def of_ended(folder: Path) -> list[Path]:
    """The files of processes that have ended, and were not added up yet."""
    files = ((file, file.stem.rpartition("_")[2]) for file in folder.glob("*.db"))
    return [file for file, pid in files if pid != ENDED and not Path(f"/proc/{pid}").exists()]


def _be_a_child(folder: Path) -> None:
    """Room for a child that was forked; while the disk is full it counts for nobody, rather than be killed for it."""
    try:
        _take_room(folder, str(os.getpid()))
    except OSError as error:
        LOG.warning("metrics of a process not kept", reason=error.strerror)
        os.environ[VARIABLE] = mkdtemp(prefix="cxrnode-", dir=MEMORY)


def _take_room(folder: Path, whose: str) -> None:
    """The files of a process, so large that none grows. Raises OSError when the disk is full."""
    for kind in KINDS:
        with open(folder / f"{kind}_{whose}.db", "ab", opener=for_its_owner) as file:
            os.posix_fallocate(file.fileno(), 0, ROOM)


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """While a folder is made and not locked yet, nobody else clears away."""
    handle = os.open(parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
