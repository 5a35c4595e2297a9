"""Memory of a node's processes, sampled from /proc through each one's life, and the rule by which it is flat.

The rule: a life warms up while the node finishes its first studies of it; after that the median of the last third must
not be more than 20 MB above that of the first third. Lives with too few studies after the warm-up are not judged; a
kind of process with none but such was not measured, which is no better than growth.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, median

from tests.nodes import RunningNode

RECEIVER, ANALYSIS, DELIVERY, BROKER = "receiver", "analysis worker", "delivery worker", "broker"
JUDGED = (RECEIVER, ANALYSIS, DELIVERY)
GROWTH_MB = 20.0
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Sample:
    """Anonymous resident memory (RssAnon, proc_pid_status(5)) when so many studies were finished."""

    seconds: float
    finished: int
    mb: float


@dataclass
class Life:
    """One process from its first sample to its last; a process that is killed leaves its place to another life."""

    kind: str
    warm_up: int
    """so many studies of the node's"""
    samples: list[Sample] = field(default_factory=list)

    @property
    def warm(self) -> list[Sample]:
        """What was sampled after the warm-up."""
        return [one for one in self.samples if one.finished >= self.samples[0].finished + self.warm_up]

    @property
    def studies(self) -> int:
        """How many studies the node finished in it after the warm-up."""
        return self.warm[-1].finished - self.warm[0].finished if self.warm else 0

    @property
    def thirds(self) -> tuple[float, float]:
        """After the warm-up, the median of its first and of its last third, MB."""
        warm = [sample.mb for sample in self.warm]
        third = max(1, len(warm) // 3)
        return median(warm[:third]), median(warm[-third:])

    @property
    def flat(self) -> bool:
        """Whether it has not grown, by the rule."""
        first, last = self.thirds
        return last <= first + GROWTH_MB

    @property
    def slope(self) -> float:
        """MB for each 100 studies that the node finished, after the warm-up."""
        warm = self.warm
        return linear_regression([one.finished for one in warm], [one.mb for one in warm]).slope * 100

    def __str__(self) -> str:
        first, last = self.thirds
        return (
            f"{self.kind:<16}{first:7.1f} MB -> {last:7.1f} MB  {self.slope:+6.2f} MB/100 studies  "
            f"{'flat ' if self.flat else 'GROWS'}  {self.line()}"
        )

    def line(self, width: int = 40) -> str:
        """The life as a line of bars between its least and its most."""
        step = max(1, len(self.samples) // width)
        values = [sample.mb for sample in self.samples[::step]]
        low, high = min(values), max(values)
        bars = "".join(BARS[int((value - low) / ((high - low) or 1) * (len(BARS) - 1))] for value in values)
        return f"{bars} {low:.0f} to {high:.0f} MB"


@dataclass
class Memory:
    """The lives of a node's processes; those in which it finished `enough` studies after the `warm_up` are judged."""

    warm_up: int
    enough: int
    lives: dict[int, Life] = field(default_factory=dict)

    def sample(self, node: RunningNode, seconds: float, finished: int) -> None:
        """Look at each process of the node."""
        for pid, kind in kinds(node).items():
            if (mb := anonymous_mb(pid)) is not None:
                self.lives.setdefault(pid, Life(kind, self.warm_up)).samples.append(Sample(seconds, finished, mb))

    @property
    def judged(self) -> list[Life]:
        """The lives that were long enough, by kind."""
        long = (one for one in self.lives.values() if one.kind in JUDGED and one.studies >= self.enough)
        return sorted(long, key=lambda life: life.kind)

    def broken(self) -> Iterator[str]:
        """What is not flat, and what was not measured, a line each."""
        yield from (f"memory: {life}" for life in self.judged if not life.flat)
        for kind in JUDGED:
            if not any(life.kind == kind for life in self.judged):
                yield f"memory: no {kind} lived for {self.enough} studies"


def kinds(node: RunningNode) -> dict[int, str]:
    """The processes that do the work, by pid: of Celery's only those that it forked, for they run the tasks."""
    found = {}
    for pid, command in node.children().items():
        if "broker.sock" in command:
            found[pid] = BROKER
        elif command.endswith("receive "):
            found[pid] = RECEIVER
        elif "--role" in command and _parent(pid) != node.process.pid:
            found[pid] = ANALYSIS if "analyse" in command else DELIVERY
    return found


def anonymous_mb(pid: int) -> float | None:
    """Anonymous resident memory of a process, MB; None when it is gone."""
    kilobytes = _status(pid).get("RssAnon", "").removesuffix("kB")
    return int(kilobytes) * 1024 / 1e6 if kilobytes else None


def _parent(pid: int) -> int:
    return int(_status(pid).get("PPid", "0"))


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
