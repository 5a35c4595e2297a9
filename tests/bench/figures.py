"""A figure of a bench: what was measured, beside what, and whether it is what was promised; and how time is taken."""

import platform
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import sqlalchemy

LONGEST_S = 20.0
"""What is slow is called less often than was asked for."""


@dataclass(frozen=True)
class Timing:
    """How long each of many calls took, in milliseconds."""

    name: str
    ms: tuple[float, ...]

    @property
    def median(self) -> float:
        """Half of the calls were quicker."""
        return statistics.median(self.ms)

    def quantile(self, share: float) -> float:
        """So large a share of the calls was quicker."""
        return sorted(self.ms)[min(int(share * len(self.ms)), len(self.ms) - 1)]


@dataclass(frozen=True)
class Figure:
    """`ours` in `unit`, `reference` likewise; `target` is the most that it may be, None where nothing is promised."""

    name: str
    ours: float
    reference: float | None
    unit: str
    target: float | None = None

    def as_object(self) -> dict[str, object]:
        """As bench.json has it."""
        ratio = round(self.ours / self.reference, 3) if self.reference else None
        met = None if self.target is None else self.ours <= self.target
        return asdict(self) | {"ratio": ratio, "met": met}


def timed(name: str, calls: Iterable[Callable[[], object]]) -> Timing:
    """Each call once, one after another, until there is no more or `LONGEST_S` have gone."""
    took, give_up = [], time.monotonic() + LONGEST_S
    for call in calls:
        begun = time.perf_counter()
        call()
        took.append((time.perf_counter() - begun) * 1000)
        if time.monotonic() > give_up:
            break
    return Timing(name, tuple(took))


def machine() -> dict[str, object]:
    """On what the figures were had."""
    words = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in words.splitlines() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(models) or None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "sqlalchemy": sqlalchemy.__version__,
        "cxrnode": version("cxrnode"),
    }


def table(timings: Sequence[Timing], references: Sequence[Timing]) -> str:
    """Medians beside those of the references, and how far nine calls in ten reach."""
    width = max(len(one.name) for one in timings)
    lines = [
        f"{'milliseconds':<{width}}  {'median':>9} {'quarter':>9} {'3/4':>9} {'9/10':>9} {'calls':>6} {'small':>9}"
    ]
    beside = {one.name: one for one in references}
    for one in timings:
        spread = " ".join(f"{one.quantile(share):9.2f}" for share in (0.25, 0.75, 0.9))
        small = f"{beside[one.name].median:9.2f}" if one.name in beside else ""
        lines.append(f"{one.name:<{width}}  {one.median:9.2f} {spread} {len(one.ms):6d} {small}")
    return "\n".join(lines)
