"""How far two models agree on the same images: Cohen's kappa, flips both ways, differences; intervals over studies.

Images of one study are not independent, so each interval takes studies as its unit. Two studies of one patient count
as two: nothing here knows patients. Every interval is one of 95 %.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Calls = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Studies = NDArray[np.integer]

RESAMPLES = 2000
NORMAL = 1.959963984540054
"""The standard normal distribution's 97.5 % quantile"""
EDGE = 1e-6
"""A probability nearer to 0 or 1 than this counts as this far from it where a logit is taken."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; None where the figure is not defined, or no interval can be told from these."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Calling:
    """How many two models call positive: both, one alone, neither."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def total(self) -> int:
        """How many there are."""
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def flips(self) -> int:
        """How many the two call differently."""
        return self.only_a + self.only_b


@dataclass(frozen=True)
class Differences:
    """How much higher B lies than A: the mean, the standard deviation, the limits of agreement.

    The limits are mean -/+ 1.96 standard deviations: Bland and Altman, Lancet 1986; 327: 307-310.
    """

    mean: Estimate
    deviation: float | None
    lower_limit: float | None
    upper_limit: float | None


def calling(a: Calls, b: Calls) -> Calling:
    """The two by two table of (N,) calls."""
    both, only_a, only_b, neither = _pattern(a, b).sum(axis=0, dtype=np.int64).tolist()
    return Calling(both, only_a, only_b, neither)


def kappa(a: Calls, b: Calls, studies: Studies) -> Estimate:
    """Cohen's kappa of (N,) calls (Educ Psychol Meas 1960; 20: 37-46); its interval from a bootstrap over studies."""
    return _resampled(_pattern(a, b), studies, _kappa)


def agreement(a: Calls, b: Calls, studies: Studies) -> Estimate:
    """The share of (N,) images that both call alike; its interval likewise."""
    return _resampled(_pattern(a, b), studies, lambda counts: (counts[:, 0] + counts[:, 3]) / counts.sum(axis=1))


def mcnemar(only_a: int, only_b: int) -> float:
    """McNemar's exact test, two-sided: the chance of flips so unequal, or more so, if each way were as likely.

    It is the binomial test of one half (Psychometrika 1947; 12: 153-157): of independent pairs, so of studies.
    """
    fewer, flips = min(only_a, only_b), only_a + only_b
    log_half, log_all = flips * math.log(2), math.lgamma(flips + 1)
    below = (math.exp(log_all - math.lgamma(k + 1) - math.lgamma(flips - k + 1) - log_half) for k in range(fewer + 1))
    return min(1.0, 2 * math.fsum(below))


def differences(a: Numbers, b: Numbers, studies: Studies) -> Differences:
    """B less A of (N,) numbers each; the interval of the mean is the normal one, from the sums of the studies.

    Of fewer than two images there is no deviation, of fewer than two studies no interval.
    """
    if not len(a):
        return Differences(Estimate(None), None, None, None)
    difference = b - a
    mean = float(difference.mean())
    if len(a) < 2:
        return Differences(Estimate(mean), None, None, None)
    deviation = float(difference.std(ddof=1))
    _, of = np.unique(studies, return_inverse=True)
    residuals = np.bincount(of, weights=difference - mean)
    count = len(residuals)
    error = math.sqrt(count / (count - 1) * float(residuals @ residuals)) / len(a) if count > 1 else 0.0
    told = Estimate(mean, mean - NORMAL * error, mean + NORMAL * error) if error else Estimate(mean)
    return Differences(told, deviation, mean - NORMAL * deviation, mean + NORMAL * deviation)


def logit(probabilities: Numbers) -> Numbers:
    """ln(p / (1 - p)), of probabilities kept EDGE away from 0 and 1."""
    kept = np.clip(probabilities, EDGE, 1 - EDGE)
    odds: Numbers = np.log(kept / (1 - kept))
    return odds


def share(part: int, whole: int) -> Estimate:
    """A share of independent things with Wilson's interval (J Am Stat Assoc 1927; 22: 209-212), which none survives."""
    if not whole:
        return Estimate(None)
    p, z2 = part / whole, NORMAL**2
    middle = (p + z2 / (2 * whole)) / (1 + z2 / whole)
    half = NORMAL / (1 + z2 / whole) * math.sqrt(p * (1 - p) / whole + z2 / (4 * whole**2))
    return Estimate(p, max(0.0, middle - half), min(1.0, middle + half))


def any_of(calls: Calls, studies: Studies) -> Calls:
    """By study, in the order of their numbers, whether any of its images is called positive."""
    _, of = np.unique(studies, return_inverse=True)
    found: Calls = np.bincount(of, weights=calls) > 0
    return found


def _pattern(a: Calls, b: Calls) -> NDArray[np.bool_]:
    """(N, 4): both positive, A alone, B alone, neither."""
    return np.stack([a & b, a & ~b, ~a & b, ~a & ~b], axis=1)


def _kappa(counts: Numbers) -> Numbers:
    """(R, 4) counts -> (R,) kappas; not a number where both call all alike, as chance alone would have it."""
    both, only_a, only_b, neither = counts.T
    total = counts.sum(axis=1)
    by_chance = ((both + only_a) * (both + only_b) + (neither + only_a) * (neither + only_b)) / total**2
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Numbers = ((both + neither) / total - by_chance) / (1 - by_chance)
    return found


def _resampled(patterns: NDArray[np.bool_], studies: Studies, figure: Callable[[Numbers], Numbers]) -> Estimate:
    """A figure of summed (N, 4) patterns, with the percentiles 2.5 and 97.5 of resamples in which studies are drawn.

    Studies with the same counts are alike, so a resample is one multinomial draw over the kinds of study: that is the
    bootstrap over clusters (Field and Welsh, J R Stat Soc B 2007; 69: 369-390) in memory that does not grow with them.
    Where nothing varies there is no interval.
    """
    if not len(patterns):
        return Estimate(None)
    _, of = np.unique(studies, return_inverse=True)
    counts = np.stack([np.bincount(of, weights=column) for column in patterns.T], axis=1)
    kinds, alike = np.unique(counts, axis=0, return_counts=True)
    (value,) = figure(counts.sum(axis=0, keepdims=True)).tolist()
    if math.isnan(value):
        return Estimate(None)
    drawn = np.random.default_rng(0).multinomial(len(counts), alike / len(counts), size=RESAMPLES)
    values = figure((drawn @ kinds).astype(np.float64))
    values = values[~np.isnan(values)]
    if not len(values) or values.min() == values.max():
        return Estimate(value)
    low, high = np.percentile(values, (2.5, 97.5)).tolist()
    return Estimate(value, low, high)
