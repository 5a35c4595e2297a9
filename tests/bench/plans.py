"""A plan of a million studies: made, kept, begun and gone on with, in memory that does not grow with it.

Each size has a process of its own, which tells its greatest memory. A claim is that of two studies, as a run makes it.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import perf_counter

from cxrnode.ledger import Ledger, planned, replays
from cxrnode.ledger.planned import Hold, Known
from cxrnode.ledger.replays import Request
from cxrnode.plans import plan
from cxrnode.plans.plan import Entry, Head, Origin, Verdict
from tests.bench.figures import Figure, at_most
from tests.bench.timings import timed

STUDIES, SMALL, CALLS = 1_000_000, 1_000, 200
NOW = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
CLAIM_MS = 5.0
MORE_MB = 32.0
"""So much more memory than a small plan needs is not growth: SQLite's own caches"""


def figures(studies: int = STUDIES) -> list[Figure]:
    """The figures of a large plan beside those of a small one."""
    large, small = _measured(studies), _measured(SMALL)
    for name in large:
        sys.stdout.write(f"{name:<36} {large[name]:10.1f}   of {SMALL} studies {small[name]:8.1f}\n")
    targets = {"claim, ms": at_most(CLAIM_MS), "greatest memory, MB": at_most(small["greatest memory, MB"] + MORE_MB)}
    return [
        Figure(f"plan of {studies} studies: {name.split(', ')[0]}", large[name], small[name], unit, targets.get(name))
        for name in large
        for unit in [name.split(", ")[1]]
    ]


def _measured(studies: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.plans", str(studies)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found


def measure(studies: int, folder: Path) -> dict[str, float]:
    """Make, load and claim a plan; seconds, milliseconds and megabytes."""
    ledger, path = Ledger(f"sqlite:///{folder / 'ledger.sqlite'}"), folder / "plan.jsonl"
    begun = perf_counter()
    plan.write(path, Head(origin=Origin.ARCHIVE, archive="main", made_at=NOW), _entries(studies))
    made = perf_counter()
    replay = replays.begin(ledger, Request("digest", "", send=True, again=False), plan.head_of(path), NOW).key
    number = 1
    for batch in plan.batches(plan.entries_of(path)):
        planned.load(ledger, replay, number, batch, NOW)
        number += len(batch)
    replays.loaded(ledger, replay, NOW)
    loaded = perf_counter()
    planned.steps(ledger, replay)
    planned.verdicts(ledger, replay)
    counted = perf_counter()
    claims = timed("claim", [partial(_claim, ledger, replay)] * CALLS)
    return {
        "plan made, s": made - begun,
        "plan loaded, s": loaded - made,
        "counted at the start of a run, ms": (counted - loaded) * 1000,
        "claim, ms": claims.median,
        "greatest memory, MB": _most_memory_mb(),
    }


def _claim(ledger: Ledger, replay: str) -> None:
    """Two studies; nobody has read them before."""
    claimed = planned.claim(ledger, replay, 2, NOW, Hold(NOW + timedelta(minutes=2)), Known(["0" * 64], sent=True))
    if len(claimed.studies) != 2:
        raise AssertionError(claimed)


def _entries(studies: int) -> Iterator[Entry]:
    for number in range(studies):
        study, accession = f"1.2.826.0.1.3680043.8.498.{10**36 + number}", f"A{number}"
        if number % 1000 == 7:
            yield Entry(accession=accession, verdict=Verdict.NOT_FOUND, reason="main has no such study")
        else:
            yield Entry(study=study, accession=accession, date="20260102", instances=2)


def _most_memory_mb() -> float:
    with Path("/proc/self/status").open(encoding="ascii") as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="cxrnode-bench-") as name:
        sys.stdout.write(json.dumps(measure(int(sys.argv[1]), Path(name))) + "\n")
