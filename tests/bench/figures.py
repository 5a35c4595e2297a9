"""A figure of a bench: what was measured, beside what, and whether it is what was promised."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Target:
    """What is promised: a limit of our figure, or of its ratio to the reference."""

    limit: float
    least: bool
    of_ratio: bool

    def __str__(self) -> str:
        return f"{'at least' if self.least else 'at most'} {self.limit:g}{' times' if self.of_ratio else ''}"

    def met(self, ours: float, ratio: float | None) -> bool:
        """Whether it is kept."""
        value = ratio if self.of_ratio else ours
        if value is None:
            raise ValueError(f"{self} has no reference; wanted one")
        return value >= self.limit if self.least else value <= self.limit


def at_most(limit: float) -> Target:
    """Ours is no more than this."""
    return Target(limit, least=False, of_ratio=False)


def at_least(limit: float) -> Target:
    """Ours is no less than this."""
    return Target(limit, least=True, of_ratio=False)


def ratio_at_most(limit: float) -> Target:
    """Ours is no more than so many times the reference: for what should be small, a time."""
    return Target(limit, least=False, of_ratio=True)


def ratio_at_least(limit: float) -> Target:
    """Ours is at least so many times the reference: for what should be large, a rate."""
    return Target(limit, least=True, of_ratio=True)


@dataclass(frozen=True)
class Figure:
    """`ours` in `unit`, `reference` likewise, each with its quartiles where there are several turns; None: not run."""

    name: str
    ours: float | None
    reference: float | None
    unit: str
    target: Target | None = None
    note: str = ""
    ours_quartiles: tuple[float, float] | None = None
    reference_quartiles: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        unit: str,
        ours: Sequence[float],
        reference: Sequence[float] | None = None,
        target: Target | None = None,
        note: str = "",
    ) -> "Figure":
        """The medians of the turns, and their quartiles."""
        beside = statistics.median(reference) if reference else None
        spread = quartiles(reference) if reference else None
        return cls(name, statistics.median(ours), beside, unit, target, note, quartiles(ours), spread)

    @classmethod
    def not_run(cls, name: str, unit: str, target: Target | None, why: str) -> "Figure":
        """A figure that this machine cannot have."""
        return cls(name, None, None, unit, target, f"not run: {why}")

    @property
    def ratio(self) -> float | None:
        """Ours divided by the reference."""
        return self.ours / self.reference if self.ours is not None and self.reference else None

    @property
    def met(self) -> bool | None:
        """Whether the target is kept; None where nothing is promised, or nothing was run."""
        if self.target is None or self.ours is None:
            return None
        return self.target.met(self.ours, self.ratio)

    def as_object(self) -> dict[str, object]:
        """As bench.json has it."""
        ratio = self.ratio if self.ratio is None else round(self.ratio, 3)
        target = str(self.target) if self.target else None
        return asdict(self) | {"ratio": ratio, "target": target, "met": self.met}


def quartiles(values: Sequence[float]) -> tuple[float, float] | None:
    """The lower and the upper; None of a single value."""
    if len(values) < 2:
        return None
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high
