"""One port a service: what its processes have counted, added up, beside what is read when Prometheus asks.

Each process counts in files of its own (prometheus-client's multiprocess mode), in a folder that lasts as long as the
service does: a process that ended has still counted. The files are memory to it, and a write that finds no room on a
full disk would kill it: so their room is taken before anything is counted.
"""

import fcntl
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from cxrnode.draft import locked
from cxrnode.log import logger
from cxrnode.settings import Settings
from cxrnode.whole import for_its_owner

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.registry import Collector

LOG = logger("metrics")
AGAIN_S = 5.0
"""So long it waits where the port is taken, by a process that is about to end or by another service."""
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
KINDS = ("counter", "histogram", "gauge_max", "gauge_livemostrecent", "gauge_livemax", "gauge_livesum")
"""What the files of a process are called, by the kinds of figures in counts.py."""
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
        _take_room(folder)
    except OSError as error:
        LOG.error("metrics not served", reason=error.strerror)
        return
    os.register_at_fork(after_in_child=partial(_be_a_child, folder))
    os.environ[VARIABLE] = str(folder)


def serve(host: str, port: int, state: "Callable[[], Collector] | None" = None) -> None:
    """Answer Prometheus from now on, in a thread; where the port is taken, as soon as it is free.

    Nothing where `begin` was not called: nobody asks.
    """
    folder = os.environ.get(VARIABLE)
    if port and folder:
        threading.Thread(target=_serve, args=(host, port, Path(folder), state), daemon=True).start()


def _serve(host: str, port: int, folder: Path, state: "Callable[[], Collector] | None") -> None:
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(_counted(folder))
    if state is not None:
        registry.register(state())
    told = False
    while True:
        try:
            start_http_server(port, host, registry)
        except OSError as error:
            if not told:
                LOG.warning("metrics not served yet", host=host, port=port, reason=error.strerror)
            told = True
            time.sleep(AGAIN_S)
        else:
            LOG.info("metrics served", host=host, port=port)
            return


def _counted(folder: Path) -> "Collector":
    """The sums of all processes; of one that ended its counts stay, and what it held is held no more."""
    from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
    from prometheus_client.registry import Collector

    class Counted(Collector):
        def collect(self) -> "Iterator[Metric]":
            for file in folder.glob("gauge_live*.db"):
                pid = file.stem.rpartition("_")[2]
                if not Path(f"/proc/{pid}").exists():
                    mark_process_dead(int(pid), str(folder))
            yield from MultiProcessCollector(None, str(folder)).collect()

    return Counted()


def _be_a_child(folder: Path) -> None:
    """Room for a child that was forked; while the disk is full it counts for nobody, rather than be killed for it."""
    try:
        _take_room(folder)
    except OSError as error:
        LOG.warning("metrics of a process not kept", reason=error.strerror)
        os.environ[VARIABLE] = mkdtemp(prefix="cxrnode-", dir=MEMORY)


def _take_room(folder: Path) -> None:
    """The files of this process, so large that none grows. Raises OSError when the disk is full."""
    for kind in KINDS:
        with open(folder / f"{kind}_{os.getpid()}.db", "ab", opener=for_its_owner) as file:
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
