"""What is: the figures that ledger, spool and broker have themselves, read when Prometheus asks.

They outlive a restart, and cannot disagree with `cxrnode status`, which reads the same.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from threading import Lock

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cxrnode import __version__
from cxrnode.jobs import QUEUES, Jobs
from cxrnode.ledger import Ledger
from cxrnode.ledger.account import account
from cxrnode.ledger.backlog import SINCE, Backlog, Heap, backlog
from cxrnode.ledger.states import Lane, Work
from cxrnode.log import logger
from cxrnode.metrics.families import Labels, gauge, single
from cxrnode.metrics.quality import of_canary, of_drift
from cxrnode.metrics.trust import of_audit, of_certificates
from cxrnode.settings import Settings
from cxrnode.spool import GIB, Spool

LOG = logger("metrics")
PATIENCE_S = 4.0
"""So long one answer waits for what is slow, as Prometheus itself waits 10 s: what is missing then is told as away."""
SHARE = 0.1
"""of the time may go into reading: what took long is read less often"""
Pairs = dict[Labels, tuple[float, float]]
"""By the values of the labels: how many, and for how many seconds."""


Reading = Callable[[datetime], list[GaugeMetricFamily]]


class Look:
    """One thing that is looked at for figures: in a thread of its own, not twice at once, nor too often."""

    def __init__(self, what: str, look: Reading) -> None:
        self.what = what
        self._look, self._again_at = look, 0.0
        self._seen: Future[list[GaugeMetricFamily]] | None = None
        self._thread, self._turn = ThreadPoolExecutor(1, thread_name_prefix=what), Lock()

    def ask(self) -> None:
        """Begin to look, unless it is at it, or did a moment ago."""
        with self._turn:
            if self._seen is None or (self._seen.done() and time.monotonic() >= self._again_at):
                self._seen = self._thread.submit(self._timed)

    def figures(self, patience_s: float) -> list[GaugeMetricFamily] | None:
        """What it saw since it was asked, or a moment before; None: it gave no answer, or not in time."""
        if self._seen is None:
            return None
        try:
            return self._seen.result(patience_s)
        except Exception as error:  # noqa: BLE001  whatever it is, the other figures are told; its text may quote a row
            LOG.warning("no figures", of=self.what, reason=type(error).__name__)
            return None

    def _timed(self) -> list[GaugeMetricFamily]:
        """What failed is tried again sooner: else a ledger that hung once would count as away for ten times as long."""
        began, share = time.monotonic(), 1.0
        try:
            figures = self._look(datetime.now(UTC))
            share = SHARE
            return figures
        finally:
            ended = time.monotonic()
            self._again_at = ended + (ended - began) / share


class State(Collector):
    """The figures of a node, for its receiver's port."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._spool = Spool(settings.node.spool_dir)
        self._ledger, self._jobs = Ledger(settings.ledger_url), Jobs(settings.broker_url)
        looks: dict[str, Reading] = {"ledger": self._of_ledger, "broker": self._of_broker, "spool": self._of_spool}
        looks |= {"certificates": partial(of_certificates, settings), "audit": partial(of_audit, settings)}
        self._looks = [Look(what, look) for what, look in looks.items()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """For prometheus-client, at each scrape."""
        yield gauge("info", "Which version this is; always 1.", ("version",), {(__version__,): 1})
        answers: dict[Labels, float] = {}
        until = time.monotonic() + PATIENCE_S
        for one in self._looks:
            one.ask()
        for one in self._looks:
            figures = one.figures(max(0.0, until - time.monotonic()))
            answers[one.what,] = float(figures is not None)
            yield from figures or []
        yield gauge(
            "answers",
            "Whether ledger, broker, spool, certificates and audit could be read just now.",
            ("what",),
            answers,
        )

    def _of_ledger(self, now: datetime) -> list[GaugeMetricFamily]:
        total = account(self._ledger, self._spool)
        places: dict[Labels, float] = {(line.place, line.outcome): float(line.instances) for line in total.lines}
        return [
            gauge("account_instances", "Acknowledged instances by place and outcome.", ("place", "outcome"), places),
            single("account_balanced", "Whether they sum to what is on the disk.", float(total.balanced)),
            *_waiting(backlog(self._ledger), [one.name for one in self._settings.destinations], now),
            *of_canary(self._settings, self._ledger, now),
            *of_drift(self._settings, self._ledger, now),
        ]

    def _of_broker(self, _now: datetime) -> list[GaugeMetricFamily]:
        depths: dict[Labels, float] = {
            (queue,): float(waiting) for queue, waiting in zip(QUEUES, self._jobs.waiting(*QUEUES), strict=True)
        }
        return [gauge("queue_tasks", "Tasks that wait in the broker's queue.", ("queue",), depths)]

    def _of_spool(self, _now: datetime) -> list[GaugeMetricFamily]:
        usage, files = shutil.disk_usage(self._spool.root), os.statvfs(self._spool.root)
        reserve = self._settings.receiving.reserve_gb * GIB
        figures = {
            "disk_free_bytes": (usage.free, "Free bytes where the spool lies."),
            "disk_size_bytes": (usage.total, "All bytes there."),
            "disk_reserve_bytes": (reserve, "Free bytes below which images are refused (receiving.reserve_gb)."),
        }
        if files.f_files:  # some file systems count none
            figures["disk_free_files"] = (files.f_favail, "Files that may still be made there.")
        return [single(name, told, float(value)) for name, (value, told) in figures.items()]


def _waiting(found: Backlog, destinations: list[str], now: datetime) -> Iterator[GaugeMetricFamily]:
    """The backlog, with zeros for what there is none of."""
    there: Pairs = {(state.value, lane.value): (0.0, 0.0) for state in SINCE for lane in Lane} | _heaps(
        found.rounds, now
    )
    by = ("state", "lane")
    yield gauge("studies", "Studies that are not finished, by state and lane.", by, _firsts(there))
    yield gauge("oldest_study_age_seconds", "How long the oldest of them is in that state.", by, _seconds(there))
    to: Pairs = {(work.value, name): (0.0, 0.0) for work in (Work.DELIVER, Work.COMMIT) for name in destinations}
    open_tasks: Pairs = {(Work.ANALYSE.value, ""): (0.0, 0.0)} | to | _heaps(found.tasks, now)
    by = ("work", "destination")
    yield gauge("tasks", "Tasks that are not ended, by work and destination.", by, _firsts(open_tasks))
    yield gauge("oldest_task_age_seconds", "How long ago the oldest of them was made.", by, _seconds(open_tasks))
    yield single("quarantined_analyses", "Analyses that were given up and wait for a person.", float(found.given_up))
    away: Pairs = {(name,): (0.0, 0.0) for name in destinations}
    for one in found.away:
        count, age_s = away.get((one.destination,), (0.0, 0.0))
        away[one.destination,] = (count + 1, max(age_s, (now - one.since).total_seconds()))
    yield gauge("destination_away", "Peers of a destination that are left alone now.", ("destination",), _firsts(away))
    told = "For how long the longest of them gave no answer."
    yield gauge("destination_away_seconds", told, ("destination",), _seconds(away))


def _heaps(heaps: Iterable[Heap], now: datetime) -> Pairs:
    return {heap.kind: (float(heap.count), (now - heap.since).total_seconds()) for heap in heaps}


def _firsts(pairs: Pairs) -> dict[Labels, float]:
    return {labels: first for labels, (first, _) in pairs.items()}


def _seconds(pairs: Pairs) -> dict[Labels, float]:
    return {labels: second for labels, (_, second) in pairs.items()}
