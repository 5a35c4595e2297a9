"""Images that two models have read, as columns: a hundred thousand take some tens of megabytes."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from cxrnode.compare.agreement import Calls, Numbers, logit
from cxrnode.finding import Outcome
from cxrnode.ledger.comparisons import Card, Pair, Seen

OUTCOMES = tuple(Outcome)
Names = NDArray[np.bytes_]
Places = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Read:
    """One model's latest readings of N images; of an image that it has not read, -1 and not a number."""

    cards: tuple[Card, ...]
    card: Places
    """(N,) into `cards`"""
    outcome: Places
    """(N,) into OUTCOMES"""
    probability: Numbers
    round_keys: Names
    first_at: datetime | None
    last_at: datetime | None

    @property
    def analysed(self) -> Calls:
        """(N,) whether it gave a probability."""
        found: Calls = np.isin(self.outcome, [place for place, one in enumerate(OUTCOMES) if one.analysed])
        return found

    @property
    def positive(self) -> Calls:
        """(N,) whether it called the image positive."""
        found: Calls = self.outcome == OUTCOMES.index(Outcome.POSITIVE)
        return found

    def the(self, name: str) -> float | None:
        """The operating point or the prevalence, where every reading that tells it was made with the same."""
        values = {getattr(card, name) for card in self.cards} - {None}
        return values.pop() if len(values) == 1 else None


@dataclass(frozen=True, eq=False)
class Images:
    """N images of G studies, those of a study side by side; study and image go by the keys of ledger and spool."""

    study: Places
    """(N,) numbers of studies from 0, ascending"""
    study_keys: Names
    study_uids: Names
    """(G,) each"""
    keys: Names
    uids: Names
    """(N,) each, SOP Instance UIDs the latter"""
    a: Read
    b: Read

    @property
    def read_by_both(self) -> Calls:
        """(N,) whether both have an outcome for it."""
        found: Calls = (self.a.outcome >= 0) & (self.b.outcome >= 0)
        return found

    @property
    def analysed_by_both(self) -> Calls:
        """(N,) whether both gave a probability."""
        found: Calls = self.a.analysed & self.b.analysed
        return found

    @property
    def flipped(self) -> Calls:
        """(N,) whether one called it positive and the other negative."""
        found: Calls = self.analysed_by_both & (self.a.positive != self.b.positive)
        return found

    @property
    def logit_difference(self) -> Numbers:
        """(N,) B less A; not a number where either gave no probability."""
        return logit(self.b.probability) - logit(self.a.probability)


def gathered(pairs: Iterable[Pair]) -> Images:
    """The columns of a stream of images."""
    a, b, study = _Growing(), _Growing(), array("l")
    study_keys, study_uids, keys, uids = bytearray(), bytearray(), bytearray(), bytearray()
    last = ""
    for pair in pairs:
        if pair.study_key != last:
            last = pair.study_key
            study_keys += _fixed(last, 32)
            study_uids += _fixed(pair.study_instance_uid, 64)
        study.append(len(study_keys) // 32 - 1)
        keys += _fixed(pair.instance_key, 32)
        uids += _fixed(pair.sop_instance_uid, 64)
        a.add(pair.a)
        b.add(pair.b)
    return Images(
        np.array(study, dtype=np.int64), _named(study_keys, 32), _named(study_uids, 64), _named(keys, 32),
        _named(uids, 64), a.read(), b.read(),
    )  # fmt: skip


@dataclass
class _Growing:
    """One model's readings while they come."""

    cards: dict[Card, int] = field(default_factory=dict)
    card: "array[int]" = field(default_factory=lambda: array("h"))
    outcome: "array[int]" = field(default_factory=lambda: array("b"))
    probability: "array[float]" = field(default_factory=lambda: array("d"))
    round_keys: bytearray = field(default_factory=bytearray)
    first_at: datetime | None = None
    last_at: datetime | None = None

    def add(self, seen: Seen | None) -> None:
        """The next image's reading, or that there is none."""
        self.round_keys += _fixed(seen.round_key if seen else "", 32)
        self.outcome.append(OUTCOMES.index(seen.outcome) if seen else -1)
        probability = seen.probability if seen else None
        self.probability.append(float("nan") if probability is None else probability)
        if seen is None:
            self.card.append(-1)
            return
        self.card.append(self.cards.setdefault(seen.card, len(self.cards)))
        self.first_at = min(self.first_at or seen.at, seen.at)
        self.last_at = max(self.last_at or seen.at, seen.at)

    def read(self) -> Read:
        """The columns, no more to come."""
        return Read(
            tuple(self.cards),
            np.array(self.card, dtype=np.int16),
            np.array(self.outcome, dtype=np.int8),
            np.array(self.probability, dtype=np.float64),
            _named(self.round_keys, 32),
            self.first_at,
            self.last_at,
        )


def _fixed(name: str, width: int) -> bytes:
    return name.encode("ascii", "replace")[:width].ljust(width, b"\0")


def _named(content: bytearray, width: int) -> Names:
    return np.frombuffer(bytes(content), dtype=f"S{width}")
