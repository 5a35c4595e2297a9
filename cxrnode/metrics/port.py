"""One port a service: what its processes have counted, added up, beside what is read when Prometheus asks."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from cxrnode.log import logger
from cxrnode.metrics.files import ENDED, VARIABLE, of_ended

LOG = logger("metrics")
AGAIN_S = 5.0
"""So long it waits where the port is taken, by a process that is about to end or by another service."""
FOLD_EVERY_S = 60.0
"""How often files of processes that have ended are added up: one that dies again and again would leave many."""


class Sums(Collector):
    """The counts of all processes of a service. Of one that has ended they stay, and what it held is held no more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """For prometheus-client, at each scrape."""
        with self._turn:
            for file in of_ended(self._folder):
                if file.name.startswith("gauge_live"):
                    file.unlink()
            yield from MultiProcessCollector(None, str(self._folder)).collect()

    def fold(self) -> None:
        """Add the counts of processes that have ended to those of others, and remove their files."""
        with self._turn:
            for file in of_ended(self._folder):
                kind = file.stem.rpartition("_")[0]
                if not kind.startswith("gauge_live"):
                    _add(file, self._folder / f"{kind}_{ENDED}.db", largest=kind == "gauge_max")
                file.unlink()


def serve(host: str, port: int, state: Callable[[], Collector] | None = None) -> None:
    """Answer Prometheus from now on, in a thread; where the port is taken, as soon as it is free.

    Nothing where the service has no files to count in (`files.begin`): nobody asks.
    """
    folder = os.environ.get(VARIABLE)
    if port and folder:
        threading.Thread(target=_serve, args=(host, port, Sums(Path(folder)), state), daemon=True).start()


def _serve(host: str, port: int, sums: Sums, state: Callable[[], Collector] | None) -> None:
    registry = CollectorRegistry()
    registry.register(sums)
    if state is not None:
        registry.register(state())
    told = serving = False
    while True:
        try:
            if not serving:
                start_http_server(port, host, registry)
                LOG.info("metrics served", host=host, port=port)
                serving = True
            sums.fold()
        except OSError as error:
            if not told:
                LOG.warning("metrics not served yet", host=host, port=port, reason=error.strerror)
            told = True
        time.sleep(FOLD_EVERY_S if serving else AGAIN_S)


def _add(file: Path, to: Path, *, largest: bool) -> None:
    total = MmapedDict(str(to))
    for key, value, timestamp, _ in MmapedDict.read_all_values_from_file(str(file)):
        before, _ = total.read_value(key)
        total.write_value(key, max(before, value) if largest else before + value, timestamp)
    total.close()
