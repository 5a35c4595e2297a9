"""A mean over films with its 95 % confidence interval, patients and not films being drawn again."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.evaluation.measure import RESAMPLES


def mean_and_interval(
    values: NDArray[np.float64], patients: Sequence[str], seed: int = 0
) -> tuple[float, float, float]:
    """The mean of (N,) values, N at least 1, and the percentiles 2.5 and 97.5 of the resamples' means."""
    _, owner = np.unique(np.array(patients), return_inverse=True)
    sums, counts = np.bincount(owner, weights=values), np.bincount(owner)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(values.mean()), float(low), float(high)
