"""The saboteur of a soak: every few seconds one thing goes wrong, chosen by a seeded chance, and is let heal."""

import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import redis
from sqlalchemy import make_url

from cxrnode.faultpoints import Fault, Point
from tests.flow.days import Day
from tests.soak import memory

POINTS = list(Point)
WORKERS = POINTS[POINTS.index(Point.LEASED) : POINTS.index(Point.BEFORE_REPORT)]
DELIVERING = WORKERS[WORKERS.index(Point.BEFORE_STORE) :]
WHERE = {
    Fault.KILL: POINTS,
    Fault.MEMORY: POINTS,
    Fault.KILL_ALL: WORKERS,
    Fault.HANG: WORKERS,  # a task is stopped at its time limit; nobody stops a receiver that hangs
    Fault.STOP_ALL: WORKERS,
}
SOON_S = 20.0
"""A fault that was planted and that nobody reached by then is taken away."""


@dataclass
class Saboteur:
    """`again` grows by as many objects as may be in flight whenever an archive's answer may be lost."""

    day: Day
    chance: Random
    every_s: float
    done: Counter[str] = field(default_factory=Counter)
    moments: list[tuple[float, str]] = field(default_factory=list)
    """when (monotonic), and what"""
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `over`; afterwards nothing is planted, paused, locked or down."""
        tricks: dict[Callable[[], str], int] = {
            self._point: 10,
            self._flush: 1,
            self._kill_broker: 1,
            self._pause_broker: 1,
            self._restart_archive: 1,
            self._pause_archive: 1,
            self._lock_ledger: 1,
            self._restart_child: 2,
            self._kill_child: 2,
        }
        while not self.over.is_set():
            (trick,) = self.chance.choices(list(tricks), list(tricks.values()))
            began = time.monotonic()
            told = trick()
            self.done[told] += 1
            self.moments.append((began, told))
            self.over.wait(self.chance.uniform(0.5, 1.5) * self.every_s)

    def _point(self) -> str:
        """A fault at a point of a study's day."""
        fault = self.chance.choices(list(WHERE), [6, 3, 3, 1, 1])[0]
        point = self.chance.choice(WHERE[fault])
        struck = self.day.plant(point, fault)
        give_up = time.monotonic() + SOON_S
        while not struck():
            if time.monotonic() > give_up:
                (self.day.faults / point).unlink(missing_ok=True)
                return "planted, and not reached"
            time.sleep(0.1)
        if point in DELIVERING:
            self._answers_may_be_lost()
        if fault is Fault.STOP_ALL:
            self.over.wait(self.day.node.settings.queue.lease_s + 2)  # it wakes when its lease is another's
            self._wake()
        return str(fault)

    def _flush(self) -> str:
        with suppress(redis.RedisError):
            self.day.node.redis_cli("FLUSHALL")
        return "FLUSHALL"

    def _kill_broker(self) -> str:
        for pid in self._pids(memory.BROKER):
            _signal(pid, signal.SIGKILL)
        return "kill -9 of the broker"

    def _pause_broker(self) -> str:
        pids = self._pids(memory.BROKER)
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        self.over.wait(self.chance.uniform(1, 8))
        for pid in pids:
            _signal(pid, signal.SIGCONT)
        return "broker paused"

    def _restart_archive(self) -> str:
        self._answers_may_be_lost()
        self.day.archive.end()
        self.over.wait(self.chance.uniform(0, 10))
        self.day.archive.start()
        return "archive ended and started"

    def _pause_archive(self) -> str:
        self._answers_may_be_lost()
        process = self.day.archive.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        self.over.wait(self.chance.uniform(1, 15))  # its patience is 10 s
        process.send_signal(signal.SIGCONT)
        return "archive paused"

    def _lock_ledger(self) -> str:
        self._answers_may_be_lost()
        file = make_url(self.day.node.settings.ledger_url).database
        assert file is not None
        with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            self.over.wait(self.chance.uniform(1, 10))
        return "ledger locked"

    def _restart_child(self) -> str:
        return self._child(signal.SIGTERM, "SIGTERM of")

    def _kill_child(self) -> str:
        return self._child(signal.SIGKILL, "kill -9 of")

    def _child(self, number: signal.Signals, words: str) -> str:
        """A signal for one whole process below `up`: a worker's parent or the receiver."""
        name = self.chance.choice(["receive", "analyse", "deliver"])
        if name == "deliver" and number == signal.SIGKILL:  # SIGTERM lets what is under way be finished
            self._answers_may_be_lost()
        children = self.day.node.children()
        for pid in self._grown():
            if children.get(pid, "").rstrip().endswith(name):
                _signal(pid, number)
        return f"{words} {'the receiver' if name == 'receive' else f'the parent of workers that {name}'}"

    def _grown(self) -> list[int]:
        up = self.day.node.process.pid
        return [int(pid) for task in Path(f"/proc/{up}/task").glob("*/children") for pid in task.read_text().split()]

    def _pids(self, kind: str) -> list[int]:
        return [pid for pid, found in memory.kinds(self.day.node).items() if found == kind]

    def _wake(self) -> None:
        for pid in self.day.node.children():
            _signal(pid, signal.SIGCONT)

    def _answers_may_be_lost(self) -> None:
        self.day.again += self.day.node.settings.worker.delivery_processes


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
