"""Population stability: how far what is seen in service has moved from a reference, as one number, and where most.

The population stability index (PSI) is the sum over bins of (a - e) ln(a / e) for the shares a now and e in the
reference: Jeffreys' divergence. By custom (Siddiqi, Credit Risk Scorecards, 2006) below 0.1 is stable, above 0.25 is a
shift. With k bins and n and m images it is about (k - 1)(1/n + 1/m) where nothing has moved at all.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

BINS = 10


class Aspect(StrEnum):
    """What of the images of a model is watched."""

    PROBABILITY = "probability"
    OUTCOME = "outcome"
    MANUFACTURER = "manufacturer"
    VIEW = "view"


class Level(StrEnum):
    """What there is to say: nothing yet, as too few images came; or how far it has moved."""

    UNKNOWN = "too few"
    STABLE = "stable"
    WATCH = "watch"
    ALARM = "alarm"


@dataclass(frozen=True)
class Moved:
    """The bin that has moved most: its share in the reference, and now, in [0, 1]."""

    label: str
    before: float
    now: float


def tenth(probability: float, prevalence: float, card_prevalence: float | None) -> str:
    """Which of ten bins of equal width a probability lies in, at the prevalence of its model's card: "0" to "9".

    So a site's own prevalence moves nothing from one bin to another.
    """
    if card_prevalence is not None and 0.0 < probability < 1.0:
        odds = _odds(probability) * _odds(card_prevalence) / _odds(prevalence)
        probability = odds / (1 + odds)
    return str(min(BINS - 1, int(probability * BINS)))


def interval(label: str) -> str:
    """The same in words: "0.9 to 1.0"."""
    return f"{int(label) / BINS:.1f} to {(int(label) + 1) / BINS:.1f}"


def index(reference: Mapping[str, float], now: Mapping[str, float]) -> float:
    """The PSI of counts by bin; half an image is added to each bin, so that an empty one is not infinitely far away."""
    return sum((a - e) * math.log(a / e) for e, a in _shares(reference, now).values())


def most(reference: Mapping[str, float], now: Mapping[str, float]) -> Moved | None:
    """The bin that has most part in it; None: there is none."""
    shares = _shares(reference, now)
    if not shares:
        return None
    label = max(shares, key=lambda one: (shares[one][1] - shares[one][0]) * math.log(shares[one][1] / shares[one][0]))
    whole, seen = sum(reference.values()), sum(now.values())
    return Moved(label, reference.get(label, 0) / whole if whole else 0.0, now.get(label, 0) / seen if seen else 0.0)


def level(value: float | None, watch: float, alarm: float) -> Level:
    """What a PSI means; None: it is not known yet."""
    if value is None:
        return Level.UNKNOWN
    return Level.ALARM if value >= alarm else Level.WATCH if value >= watch else Level.STABLE


def _shares(reference: Mapping[str, float], now: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    labels = sorted({*reference, *now})
    sums = [sum(one.values()) + 0.5 * len(labels) for one in (reference, now)]
    return {label: ((reference.get(label, 0) + 0.5) / sums[0], (now.get(label, 0) + 0.5) / sums[1]) for label in labels}


def _odds(probability: float) -> float:
    return probability / (1 - probability)
