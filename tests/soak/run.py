"""A soak: studies from many senders through a whole node and a real Orthanc while things go wrong; then the promise.

`make soak` is 2,000 studies from 8 senders. The first quarter is calm, so that memory is measured on processes that
live; then a saboteur works until a tenth is left. When all has come to rest by itself nothing may be lost or doubled.
SOAK_SEED repeats the senders' and the saboteur's choices. SOAK_LEAK_MB makes the workers leak, and must end red.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom

from sqlalchemy import distinct, func, select

from cxrnode.errors import LedgerUnavailable
from cxrnode.finding import Outcome
from cxrnode.ledger import Ledger
from cxrnode.ledger.account import Account, account
from cxrnode.ledger.states import State
from cxrnode.ledger.tables import instances, rounds
from cxrnode.spool import Spool
from tests.flow.days import Day, long_day
from tests.invariants import broken
from tests.soak import films
from tests.soak.memory import Memory
from tests.soak.saboteur import Saboteur
from tests.soak.senders import Traffic, modality
from tests.soak.summary import Summary, tell, told

CALM, LEAST_CALM, LAST = 0.25, 40, 0.10
"""The share of studies before the first fault, how many at least, and the share after the last."""
READ = {Outcome.POSITIVE: films.READ, Outcome.NEGATIVE: films.READ}
MOST_UNFINISHED = 40
LOOK_S, TELL_S = 1.0, 30.0
REST_S = 300.0
"""So long may the node take to finish all by itself once nothing goes wrong any more."""
TABLES: dict[str, dict[str, object]] = {
    "queue": {"time_limit_s": 15, "lease_s": 18, "studies_per_task": 4, "max_attempts": 10, "resubmit_s": 3.0},
    "worker": {"processes": 2},
    "results": {"overlay_longest_side": 256},
}
ARCHIVE = {"commitment_timeout_s": 20.0, "timeout_s": 10.0}


@dataclass
class Soak:
    """One soak under way."""

    day: Day
    studies: int
    senders: int
    seed: str
    every_s: float
    began: float = field(default_factory=time.monotonic)
    troubles: list[str] = field(default_factory=list)
    finished: int = 0
    """studies with a finished round"""
    unfinished: int = 0
    """rounds that are not"""
    entered: int = 0
    """instances in the ledger"""

    def __post_init__(self) -> None:
        self.memory = Memory(warm_up=max(10, self.studies // 50), enough=max(20, self.studies // 20))
        self.ledger = Ledger(self.day.node.settings.ledger_url)
        folder = self.day.node.config.parent / "films"
        folder.mkdir()
        receiver = self.day.node.receiver
        self.traffic = Traffic(self.studies, MOST_UNFINISHED, receiver, folder, self.seed, lambda: self.finished)
        self.saboteur = Saboteur(self.day, Random(f"{self.seed} saboteur"), self.every_s)

    def look(self) -> None:
        """Read the ledger, where it lets us, and the processes' memory."""
        states = select(rounds.c.state, func.count(), func.count(distinct(rounds.c.study_key))).group_by(rounds.c.state)
        try:
            with self.ledger.reading() as db:
                counts = {row[0]: row for row in db.execute(states)}
                self.entered = db.execute(select(func.count()).select_from(instances)).scalar_one()
        except LedgerUnavailable:
            return
        self.finished = counts[State.FINISHED][2] if State.FINISHED in counts else 0
        self.unfinished = sum(row[1] for state, row in counts.items() if state != State.FINISHED)
        if self.finished:  # the models are loaded, and there is work
            self.memory.sample(self.day.node, time.monotonic() - self.began, self.finished)

    def run(self) -> None:
        """Send everything, with faults in the middle; returns when all is at rest, or should be."""
        calm, last = max(LEAST_CALM, int(CALM * self.studies)), int((1 - LAST) * self.studies)
        with ThreadPoolExecutor(self.senders + 1) as pool:
            sending = [pool.submit(modality, self.traffic, f"MODALITY{number}") for number in range(self.senders)]
            sabotage: Future[None] | None = None
            say_at = 0.0
            try:
                while not all(one.done() for one in sending):
                    self.look()
                    if sabotage is None and calm <= self.finished < last:
                        sabotage = pool.submit(self.saboteur.run)
                    if self.finished >= last:
                        self.saboteur.over.set()
                    if time.monotonic() >= say_at:
                        self._say()
                        say_at = time.monotonic() + TELL_S
                    time.sleep(LOOK_S)
            finally:
                self.saboteur.over.set()
            for one in (*sending, *([sabotage] if sabotage else [])):
                if error := one.exception():
                    self.troubles.append(f"{type(error).__name__}: {error}")
        self.rest()

    def rest(self) -> None:
        """Wait until all is finished, without any nudge."""
        give_up = time.monotonic() + REST_S
        while True:
            self.look()
            if not self.unfinished and self.finished >= self.studies and self.entered >= len(self.traffic.acknowledged):
                return
            if time.monotonic() > give_up:
                self.troubles.append(f"not at rest after {REST_S:g} s: {self.unfinished} rounds unfinished")
                return
            time.sleep(LOOK_S)

    def end(self) -> Summary:
        """Hold the promise against everything, and look for what waits for a person."""
        minutes = (time.monotonic() - self.began) / 60
        node = self.day.node
        waited = json.loads(node.cxrnode("quarantine", "--json").stdout)
        if waited:
            tell(f"retry --failed: {node.cxrnode('retry', '--failed').stdout}")
            self.rest()
            left = json.loads(node.cxrnode("quarantine", "--json").stdout)
            self.troubles += [f"waits for a person: {one}" for one in left]
        if (status := node.cxrnode("status")).returncode:
            self.troubles.append(f"cxrnode status: exit status {status.returncode}: {status.stderr[-500:]}")
        total = account(self.ledger, Spool(node.settings.node.spool_dir))
        self.ledger.close()
        promise = broken(node.settings, self.traffic.acknowledged, self.day.archive, again=self.day.again)
        return Summary(
            seed=self.seed,
            studies=self.studies,
            senders=self.senders,
            minutes=round(minutes, 2),
            traffic=dict(sorted(self.traffic.counted.items())),
            faults=dict(self.saboteur.done.most_common()),
            outcomes={f"{line.place} {line.outcome}".strip(): line.instances for line in total.lines},
            lost=sum(line.startswith(("I1", "I2")) for line in promise),
            doubled=sum(line.startswith("I3") for line in promise),
            sent_again=self.day.archive.sent_again,
            again=self.day.again,
            quarantined=[one["reason"] for one in waited],
            broken=[*promise, *self.troubles, *otherwise(self.traffic.acknowledged, total), *self.memory.broken()],
        )

    def _say(self) -> None:
        faults = sum(self.saboteur.done.values())
        tell(
            f"{(time.monotonic() - self.began) / 60:5.1f} min: {self.traffic.begun} studies begun, {self.finished} "
            f"finished, {self.unfinished} rounds unfinished, {faults} faults"
        )


def otherwise(acknowledged: Sequence[Path], total: Account) -> Iterator[str]:
    """Where films have not come to the end that they were made for: one that is whole must not end as failed."""
    wanted = Counter(films.kind(file) for file in acknowledged)
    became: Counter[str] = Counter()
    for line in total.lines:
        became[READ.get(line.outcome, line.outcome)] += line.instances
    if became != wanted:
        yield f"films became {dict(became)}; wanted {dict(wanted)}"


def main() -> int:
    """Run one; 0 when nothing is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--every-s", type=float, default=6.0, help="seconds between two faults, on average")
    given = parser.parse_args()
    seed = os.environ.get("SOAK_SEED") or str(SystemRandom().randrange(2**32))
    if os.environ.get("SOAK_LEAK_MB"):
        os.environ["PYTHONPATH"] = str(Path(__file__).parent / "leak")
    tell(f"soak: seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    with long_day(folder, ARCHIVE, **TABLES) as day:
        soak = Soak(day, given.studies, given.senders, seed, given.every_s)
        try:
            soak.run()
        except BaseException:
            tell(f"node's log, ledger and films: {folder}")
            raise
        summary = soak.end()
    told(summary, soak.memory, [(at - soak.began, what) for at, what in soak.saboteur.moments])
    if summary.broken:
        tell(f"node's log, ledger and films: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
