"""What the ledger takes at a million studies: claims in at most 5 ms, `status` in at most 100 ms.

`python -m tests.bench.million [--studies 1000000] [--ledger sqlite|postgresql] [--keep DIR]`. Beside the finished
studies a few hundred are under way, driven as receiver and workers drive them. Each call is timed on its own, on a
study of its own where it writes; the same calls on a ledger of a thousand studies stand beside them. The spool is
simulated, unless with --folders: it says that it has as many instances as the ledger, after it has asked each shard.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from cxrnode.commands.status import look
from cxrnode.finding import Outcome
from cxrnode.ledger import (
    Ledger,
    account,
    arrivals,
    circuits,
    clock,
    completions,
    outcomes,
    parcels,
    purges,
    tallies,
    work,
)
from cxrnode.ledger.backlog import backlog
from cxrnode.ledger.outcomes import ReadingRow, RoundResult
from cxrnode.ledger.parcels import ObjectRow
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import Fate, Work
from cxrnode.ledger.work import Lease
from cxrnode.receipt import Receipt
from cxrnode.spool import Spool
from tests.bench import fill
from tests.bench.figures import Figure, at_most
from tests.bench.fill import KEEP_DAYS, NOW
from tests.bench.report import machine
from tests.bench.timings import Timing, table, timed
from tests.databases import KINDS, drop_made, ledger_url

STUDIES, SMALL = 1_000_000, 1_000
UNDER_WAY = 300
"""Studies that are arriving, as many that wait for analysis, and as many that wait for delivery."""
CALLS = 200
QUIET_S, LEASE_S = 20.0, 600.0
TARGETS_MS = {"claim of an analysis": at_most(5.0), "claim of a delivery": at_most(5.0), "status": at_most(100.0)}


class SimulatedSpool(Spool):
    """A spool of 256 shards with a few folders each, that says it has what it is told."""

    def __init__(self, root: Path, instances: int) -> None:
        super().__init__(root)
        self.instances = instances
        for shard in range(256):
            for folder in range(4):
                (root / "instances" / f"{shard:02x}" / f"{shard:02x}{folder:030x}").mkdir(parents=True, exist_ok=True)

    def count(self) -> int:
        """What it was told, after having counted."""
        return super().count() * 0 + self.instances


@dataclass
class Service:
    """A ledger under load: every method is one call of the service, on what is under way."""

    ledger: Ledger
    spool: Spool
    now: datetime = NOW
    held: list[Lease] = field(default_factory=list)
    sending: list[Lease] = field(default_factory=list)
    random: Random = field(default_factory=lambda: Random(7))

    def receipt(self, study: str, *, corrected: str = "", of: str = "") -> Receipt:
        """A receipt of one more image."""
        uid = f"2.25.{self.random.getrandbits(120)}"
        key = f"{self.random.getrandbits(128):032x}"
        if isinstance(self.spool, SimulatedSpool):
            self.spool.instances += 1
        else:
            (self.spool.root / "instances" / key[:2] / key).mkdir(parents=True)
        came = ("1.2.840.10008.5.1.4.1.1.1.1", study, "1.2.840.10008.1.2.1", f"{self.random.getrandbits(256):064x}")
        by = (9_000_000, "RAD1", "CXRNODE", "10.1.2.3", "1", self.now.isoformat())
        return Receipt(key, uid, *came, *by, aside_of=of, corrected=corrected)

    def arrive(self, studies: int) -> None:
        """New studies of one image."""
        arrivals.note(self.ledger, [self.receipt(f"2.25.{self.random.getrandbits(120)}") for _ in range(studies)])

    def close(self) -> int:
        """Close what is quiet."""
        return arrivals.close_settled(self.ledger, QUIET_S, self.now)

    def wait(self, seconds: float) -> None:
        """Time goes on."""
        self.now += timedelta(seconds=seconds)

    def due(self) -> list[work.Due]:
        """What is due, as the reconciler asks it."""
        return work.due(self.ledger, self.now, {(Work.ANALYSE, "live"): 60.0})

    def claim(self, task_key: str, companions: int = 0) -> list[Lease]:
        """A claim, as a worker makes it."""
        found = work.lease(self.ledger, task_key, self.now, LEASE_S, companions={"live": companions}, max_attempts=4)
        self.held += found
        return found

    def analyse(self, held: Lease) -> None:
        """The end of an analysis: five objects, due at one destination."""
        study = outcomes.study_of(self.ledger, self.spool, held.round_key)
        readings = [ReadingRow(one.key, Outcome.POSITIVE, "", 0.7) for one in study.instances]
        rows = [
            ObjectRow(f"2.25.{self.random.getrandbits(120)}", "1.2", "1.4", role, f"{role}-1", "0" * 64)
            for role in fill.ROLES["positive"]
        ]
        sent = {"pacs": [row.sop_instance_uid for row in rows]}
        result = RoundResult(Outcome.POSITIVE, readings, rows, sent, "m 1", {"read": 1.0}, gist=f"{held.task_key:0>64}")
        outcomes.finish_analysis(self.ledger, held, result, self.now)

    def send(self, held: Lease) -> None:
        """A delivery whose objects are all accepted, ended."""
        for parcel in parcels.outstanding(self.ledger, held):
            uid = parcel.sop_instance_uid
            parcels.note_fate(self.ledger, held, uid, Fate.ACCEPTED, status=0, reason="", now=self.now)
        parcels.finish_delivery(self.ledger, held, 95.0, self.now)


def under_way(service: Service) -> None:
    """So many studies in each of three states."""
    service.arrive(2 * UNDER_WAY)
    service.wait(QUIET_S)
    service.close()
    for task in service.due()[:UNDER_WAY]:
        service.claim(task.task_key)
    for held in service.held:
        service.analyse(held)
    service.held.clear()
    service.wait(1)
    service.arrive(UNDER_WAY)


def measure(service: Service) -> Iterator[Timing]:
    """Every call, timed."""
    ledger = service.ledger
    again: Callable[..., Any] = lambda call, *given: [partial(call, *given)] * CALLS  # noqa: E731  a word for it
    yield timed("arrival of a new study", again(service.arrive, 1))
    yield timed("turn: close what is quiet, nothing is", again(service.close))
    yield timed("turn: questions to sources", again(completions.due, ledger, {"RAD1"}, 5.0, service.now))
    yield timed("turn: clock put back?", again(clock.put_back, ledger, service.now))
    yield timed("turn: analyses given up?", again(work.exhausted, ledger, 4, service.now))
    yield timed("turn: what is due", again(service.due))
    analyses = [one.task_key for one in service.due() if one.work is Work.ANALYSE]
    deliveries = [one.task_key for one in service.due() if one.work is Work.DELIVER]
    yield timed(
        "turn: note one as submitted",
        [partial(work.submitted, ledger, [key], service.now) for key in (analyses + deliveries)[:CALLS]],
    )
    yield timed("claim of an analysis", [partial(service.claim, key) for key in analyses[: CALLS // 2]])
    held, service.held = service.held, []
    yield timed("claim of four analyses at once", [partial(service.claim, key, 3) for key in analyses[CALLS // 2 :]])
    yield timed(
        "what a round covers (study_of)",
        [partial(outcomes.study_of, ledger, service.spool, one.round_key) for one in held],
    )
    yield timed("end of an analysis, and what it covers", [partial(service.analyse, one) for one in held])
    service.held = []
    yield timed("claim of a delivery", [partial(service.claim, key) for key in deliveries[:CALLS]])
    sent, service.held = service.held, []
    yield timed("a delivery of five objects noted and ended", [partial(service.send, one) for one in sent])
    yield from looks(service)


def looks(service: Service) -> Iterator[Timing]:
    """What only looks, and what the account costs."""
    ledger, spool = service.ledger, service.spool
    many = [None] * CALLS
    yield timed("account", [partial(account.account, ledger, spool) for _ in many])
    yield timed("the latest 20 rounds", [partial(round_lines, ledger, 20) for _ in many])
    yield timed("circuits that are open", [partial(circuits.opened, ledger) for _ in many])
    yield timed("status", [partial(look, ledger, spool, 20) for _ in many])
    yield timed("what waits, for Prometheus", [partial(backlog, ledger) for _ in many])
    yield timed(
        "purge: which studies' time is over", [partial(purges.expired, ledger, KEEP_DAYS, service.now, 10)] * 20
    )
    yield timed("purge: what is to be removed", [partial(purges.to_remove, ledger, service.now)] * CALLS)
    over = purges.expired(ledger, KEEP_DAYS, service.now, 10)
    yield timed("purge: begin one", [partial(purges.begin, ledger, one.study, KEEP_DAYS, service.now) for one in over])
    service.wait(1)
    yield timed("turn: settle a bite", [partial(tallies.settle, ledger)] * 3)


def run(root: Path, studies: int, kind: str, *, folders: bool) -> list[Timing]:
    """Fill a ledger under `root` and measure."""
    url, begun = ledger_url(root, kind), time.monotonic()
    instances = fill.fill(url, studies)
    tell(f"{studies} studies, {instances} instances: filled in {time.monotonic() - begun:.0f} s")
    spool = _folders(root / "spool", url) if folders else SimulatedSpool(root / "spool", instances)
    ledger, begun = Ledger(url), time.monotonic()
    settled = sum(iter(partial(tallies.settle, ledger), 0))
    took_s = time.monotonic() - begun
    tell(f"settled {settled} studies in {took_s:.0f} s, {settled / took_s:.0f} a second")
    service = Service(ledger, spool)
    under_way(service)
    assert account.account(ledger, spool).balanced
    timings = []
    for one in measure(service):
        tell(f"  {one.name}: {one.median:.2f} ms")
        timings.append(one)
    assert account.account(ledger, spool).balanced
    ledger.close()
    return timings


def _folders(root: Path, url: str) -> Spool:
    """An empty folder for each instance that the ledger knows of."""
    spool, ledger = Spool(root), Ledger(url)
    for key in arrivals.known(ledger):
        (root / "instances" / key[:2] / key).mkdir(parents=True)
    ledger.close()
    return spool


def tell(line: str) -> None:
    """What goes on, for whoever waits."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def figures(
    studies: int = STUDIES, kind: str = KINDS[0], keep: Path | None = None, *, folders: bool = False
) -> list[Figure]:
    """The table, printed, and its medians."""
    root = keep or Path(tempfile.mkdtemp(prefix="cxrnode-million-"))
    try:
        small = run(root / "small", SMALL, kind, folders=folders)
        large = run(root / "large", studies, kind, folders=folders)
    finally:
        drop_made()
        if keep is None:
            shutil.rmtree(root)
    sys.stdout.write(f"{studies:,} studies, {kind}; beside them {SMALL:,}\n{table(large, small)}\n")
    beside = {one.name: one.median for one in small}
    return [
        Figure(
            f"ledger, {studies:,} studies, {kind}: {one.name}",
            round(one.median, 3),
            round(beside[one.name], 3),
            "ms",
            TARGETS_MS.get(one.name),
        )
        for one in large
    ]


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.million", description=__doc__)
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--ledger", choices=KINDS, default=KINDS[0])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--folders", action="store_true")
    given = parser.parse_args()
    found = figures(given.studies, given.ledger, given.keep, folders=given.folders)
    sys.stdout.write(json.dumps({"machine": machine(), "figures": [one.as_object() for one in found]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
