"""How good a model is: figures with 95 % confidence intervals from a bootstrap over patients.

All resamples are taken at once: a resample is a weight on every film, how often its patient was drawn, and each figure
is a formula in weights. The figures themselves are those of one resample in which every weight is 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]
Weights = NDArray[np.float64]

RESAMPLES = 1000
BINS = 15
"""of equal width, for the expected calibration error (Guo et al., ICML 2017, eq. 5)"""
FEW_FALSE_ALARMS = 0.95
"""the specificity at which sensitivities are compared"""


@dataclass(frozen=True)
class Figure:
    """One figure and its 95 % confidence interval, the percentiles 2.5 and 97.5 of the resamples."""

    metric: str
    value: float
    ci_low: float
    ci_high: float


def measure(
    probabilities: Probabilities, labels: Labels, patients: Sequence[str], operating_point: float, seed: int = 0
) -> tuple[Figure, ...]:
    """Every figure of (N,) probabilities, patients and not images being drawn again in each resample.

    Resamples without both classes, where there is no ROC, are drawn again. Raises ValueError when one class is absent.
    """
    if not 0 < labels.sum() < len(labels):
        raise ValueError(f"{int(labels.sum())} of {len(labels)} films are positive; wanted both classes")
    films = Films(probabilities, labels, operating_point)
    whole = films.figures(np.ones((1, len(labels))))
    drawn = films.figures(resamples(patients, labels, seed))
    bounds = {name: np.percentile(values, (2.5, 97.5)) for name, values in drawn.items()}
    return tuple(
        Figure(name, float(values[0]), float(bounds[name][0]), float(bounds[name][1])) for name, values in whole.items()
    )


def figures(probabilities: Probabilities, labels: Labels, operating_point: float) -> dict[str, float]:
    """Every figure's value; both classes must be there."""
    every = Films(probabilities, labels, operating_point).figures(np.ones((1, len(labels))))
    return {name: float(values[0]) for name, values in every.items()}


def resamples(patients: Sequence[str], labels: Labels, seed: int) -> Weights:
    """(RESAMPLES, N): how often each film's patient was drawn, as many patients being drawn as there are."""
    generator = np.random.default_rng(seed)
    names, patient_of = np.unique(np.asarray(patients), return_inverse=True)
    drawn: list[Weights] = []
    while len(drawn) < RESAMPLES:
        counts = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
        weights = counts[patient_of].astype(np.float64)
        if 0 < weights @ labels < weights.sum():
            drawn.append(weights)
    return np.stack(drawn)


class Films:
    """(N,) probabilities of films in ascending order, ready to be weighed."""

    def __init__(self, probabilities: Probabilities, labels: Labels, operating_point: float) -> None:
        self._order = np.argsort(probabilities, kind="stable")
        self._given = probabilities[self._order]
        self._positive = (labels[self._order] == 1).astype(np.float64)
        self._called = (self._given >= operating_point).astype(np.float64)
        _, self._firsts = np.unique(self._given, return_index=True)

    def figures(self, weights: Weights) -> dict[str, NDArray[np.float64]]:
        """(R, N) weights in the films' own order -> (R,) values of each figure."""
        w = weights[:, self._order]
        positive, negative = w @ self._positive, w @ (1 - self._positive)
        hits, false_alarms = w @ (self._positive * self._called), w @ ((1 - self._positive) * self._called)
        sensitivity, specificity = hits / positive, 1 - false_alarms / negative
        return {
            "roc_auc": self._roc_auc(w),
            "accuracy": (hits + negative - false_alarms) / (positive + negative),
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "sensitivity_at_95_specificity": self._sensitivity_at(FEW_FALSE_ALARMS, w),
            "f1": 2 * hits / (positive + hits + false_alarms),
            "brier": w @ (self._given - self._positive) ** 2 / (positive + negative),
            "ece": self._calibration_error(w),
        }

    def _by_probability(self, w: Weights) -> tuple[Weights, Weights]:
        """Weights of positives and of negatives at each probability that occurs, lowest first, (R, U) each."""
        return (
            np.add.reduceat(w * self._positive, self._firsts, axis=1),
            np.add.reduceat(w * (1 - self._positive), self._firsts, axis=1),
        )

    def _roc_auc(self, w: Weights) -> NDArray[np.float64]:
        """The chance that a positive lies above a negative, ties counting half (Mann and Whitney)."""
        positives, negatives = self._by_probability(w)
        below = np.cumsum(negatives, axis=1) - negatives / 2
        area: NDArray[np.float64] = (positives * below).sum(axis=1) / positives.sum(axis=1) / negatives.sum(axis=1)
        return area

    def _sensitivity_at(self, specificity: float, w: Weights) -> NDArray[np.float64]:
        """The best sensitivity of any operating point with at least this specificity."""
        positives, negatives = self._by_probability(w)
        below = np.cumsum(negatives, axis=1) / negatives.sum(axis=1, keepdims=True)  # specificity just above each
        missed = np.cumsum(positives, axis=1) / positives.sum(axis=1, keepdims=True)
        best: NDArray[np.float64] = np.where(below >= specificity - 1e-12, 1 - missed, 0.0).max(axis=1)
        return best

    def _calibration_error(self, w: Weights) -> NDArray[np.float64]:
        """The mean distance of probability from share of positives over BINS bins, weighed by their films."""
        bins = np.minimum((self._given * BINS).astype(np.int64), BINS - 1)
        member = np.eye(BINS)[bins]  # (N, BINS)
        distance = np.abs((w * self._given) @ member - (w * self._positive) @ member)
        error: NDArray[np.float64] = distance.sum(axis=1) / w.sum(axis=1)
        return error


def youden_point(probabilities: Probabilities, labels: Labels) -> float:
    """The operating point with the largest sensitivity + specificity - 1, midway to the next lower probability.

    Of equal ones the lowest: it misses fewest.
    """
    values = np.unique(probabilities)
    points = (values[1:] + values[:-1]) / 2
    positives, negatives = np.sort(probabilities[labels == 1]), np.sort(probabilities[labels == 0])
    sensitivity = 1 - np.searchsorted(positives, points) / len(positives)
    specificity = np.searchsorted(negatives, points) / len(negatives)
    return float(points[np.argmax(sensitivity + specificity)])
