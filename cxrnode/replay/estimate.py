"""What a plan comes to, before it is run: its studies, those read already, about how many bytes and hours."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cxrnode.ledger import Ledger, planned
from cxrnode.ledger.experience import experience
from cxrnode.ledger.planned import Known
from cxrnode.plans import plan
from cxrnode.plans.plan import Verdict
from cxrnode.replay.pace import Pace


@dataclass(frozen=True)
class Estimate:
    """A plan in figures; what nobody can tell is None."""

    studies: int
    decided: dict[Verdict, int]
    """those whose verdict was known when the plan was made"""
    read_before: int
    """by a model with the same card; they are not read again, unless that is asked for"""
    images: int
    size: int | None
    """bytes of the others' images: as their source tells, else by the mean size of the images that the node knows"""
    size_is_told: bool
    duration: timedelta | None
    """of the others, by the mean time of the studies that were read here, not faster than the pace"""

    @property
    def to_read(self) -> int:
        """The studies that are fetched and read."""
        return self.studies - sum(self.decided.values()) - self.read_before


def estimate(path: Path, ledger: Ledger, read: Known, pace: Pace, *, processes: int) -> Estimate:
    """Go through a plan once; memory does not grow with it."""
    studies = read_before = images = size = unsized = 0
    decided: Counter[Verdict] = Counter()
    for batch in plan.batches(plan.entries_of(path), 500):
        studies += len(batch)
        decided.update(entry.verdict for entry in batch if entry.verdict)
        uids = [entry.study for entry in batch if not entry.verdict]
        known = planned.read_before(ledger, uids, read)
        read_before += len(known)
        for entry in batch:
            if not entry.verdict and entry.study not in known:
                images += entry.instances or 1
                size += entry.size or 0
                unsized += 0 if entry.size else entry.instances or 1
    known_here = experience(ledger)
    if unsized:
        size = size + round(unsized * known_here.bytes_per_image) if known_here.bytes_per_image else -1
    to_read = studies - sum(decided.values()) - read_before
    duration = None
    if known_here.seconds_per_study is not None:
        busy_s = to_read * known_here.seconds_per_study / processes
        paced_s = to_read * 60 / pace.per_minute if pace.per_minute else 0.0
        duration = timedelta(seconds=round(max(busy_s, paced_s)))
    told = (images, size if size >= 0 else None, not unsized, duration)
    return Estimate(studies, dict(decided), read_before, *told)
