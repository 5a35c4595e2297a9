"""How time is taken: many calls one after another, or two ways in turn in one run."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

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


def in_turn(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round, A B A B, after a turn of each that is not counted."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            if number:
                took[name].append(time.perf_counter() - begun)
    return took


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
