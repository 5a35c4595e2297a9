"""ROC of two models on the same labelled images: their curves, their areas, and the difference with its interval.

The intervals are DeLong's (DeLong, DeLong and Clarke-Pearson, Biometrics 1988; 44: 837-845), in Obuchowski's form for
images that belong together (Biometrics 1997; 53: 567-578): here those of one study. With one image a study both agree.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxrnode.compare.agreement import NORMAL, Calls, Estimate, Numbers, Studies


@dataclass(frozen=True)
class Areas:
    """Areas under two ROC curves, the second less the first, and how likely so large a difference is by chance."""

    a: Estimate
    b: Estimate
    difference: Estimate
    p: float | None


@dataclass(frozen=True, eq=False)
class Placed:
    """Where one model puts images: its area, and how far each study raises or lowers it.

    A positive counts by the share of negatives below it, a negative by the share of positives above it; the mean of
    either is the area. Both are less the area here and summed by study, (G,) each.
    """

    area: float
    of_positives: Numbers
    of_negatives: Numbers


def areas(a: Numbers, b: Numbers, truth: Calls, studies: Studies) -> Areas | None:
    """The areas of (N,) probabilities each against (N,) truth; None where one of the classes is absent."""
    if not 0 < int(truth.sum()) < len(truth):
        return None
    _, of = np.unique(studies, return_inverse=True)
    placed = [_placed(one, truth, of) for one in (a, b)]
    covariance = _covariance(placed, truth, of)
    first, second = (_estimate(one.area, float(covariance[i, i]), 0.0) for i, one in enumerate(placed))
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    difference = placed[1].area - placed[0].area
    p = math.erfc(abs(difference) / math.sqrt(2 * variance)) if variance > 1e-15 else None
    return Areas(first, second, _estimate(difference, variance, -1.0), p)


def curve(probabilities: Numbers, truth: Calls) -> tuple[Numbers, Numbers]:
    """1 - specificity and sensitivity at every operating point, from (0, 0) to (1, 1); both classes must be there."""
    order = np.argsort(-probabilities, kind="stable")
    given, hits = probabilities[order], np.cumsum(truth[order])
    last = np.append(given[1:] != given[:-1], True)  # of equal probabilities all are called, or none
    called = np.arange(1, len(given) + 1)
    sensitivity, false_alarms = hits[last] / hits[-1], (called - hits)[last] / (len(given) - hits[-1])
    return np.append(0.0, false_alarms), np.append(0.0, sensitivity)


def _placed(probabilities: Numbers, truth: Calls, of: NDArray[np.integer]) -> Placed:
    """Ties count half (Mann and Whitney)."""
    positives, negatives = np.sort(probabilities[truth]), np.sort(probabilities[~truth])
    below = _rank(negatives, probabilities[truth]) / len(negatives)
    above = 1 - _rank(positives, probabilities[~truth]) / len(positives)
    area, count = float(below.mean()), int(of.max()) + 1
    return Placed(
        area,
        np.bincount(of[truth], below - area, count).astype(np.float64),
        np.bincount(of[~truth], above - area, count).astype(np.float64),
    )


def _rank(values: Numbers, wanted: Numbers) -> Numbers:
    """How many of the sorted values lie below each wanted one, equal ones counting half."""
    rank: Numbers = (np.searchsorted(values, wanted, "left") + np.searchsorted(values, wanted, "right")) / 2
    return rank


def _covariance(placed: list[Placed], truth: Calls, of: NDArray[np.integer]) -> Numbers:
    """(2, 2) covariance of the areas: from positives, from negatives, and from studies that have both."""
    positives, negatives = int(truth.sum()), int((~truth).sum())
    with_positive, with_negative = len(np.unique(of[truth])), len(np.unique(of[~truth]))
    x = np.stack([one.of_positives for one in placed]) / positives
    y = np.stack([one.of_negatives for one in placed]) / negatives
    both = x @ y.T * _corrected(int(of.max()) + 1)
    covariance: Numbers = x @ x.T * _corrected(with_positive) + y @ y.T * _corrected(with_negative) + both + both.T
    return covariance


def _corrected(count: int) -> float:
    return count / (count - 1) if count > 1 else 0.0


def _estimate(value: float, variance: float, lowest: float) -> Estimate:
    """No interval where nothing varies: every positive lies above every negative, or both models say the same."""
    if variance <= 1e-15:
        return Estimate(value)
    half = NORMAL * math.sqrt(variance)
    return Estimate(value, max(lowest, value - half), min(1.0, value + half))
