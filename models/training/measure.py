"""How good a model is: figures with 95 % confidence intervals from a bootstrap over patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import binary_auroc, binary_calibration_error, binary_stat_scores

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]

RESAMPLES = 1000


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
    """Every figure of (N,) probabilities, patients and not images being drawn again in each resample."""
    whole = figures(probabilities, labels, operating_point)
    generator = np.random.default_rng(seed)
    films_of = _films_by_patient(patients)
    drawn: list[dict[str, float]] = []
    while len(drawn) < RESAMPLES:
        chosen = generator.integers(len(films_of), size=len(films_of))
        films = np.concatenate([films_of[patient] for patient in chosen])
        if 0 < labels[films].sum() < len(films):  # without both classes there is no ROC
            drawn.append(figures(probabilities[films], labels[films], operating_point))
    bounds = {name: np.percentile([one[name] for one in drawn], (2.5, 97.5)) for name in whole}
    return tuple(Figure(name, value, float(bounds[name][0]), float(bounds[name][1])) for name, value in whole.items())


def figures(probabilities: Probabilities, labels: Labels, operating_point: float) -> dict[str, float]:
    """Every figure's value; both classes must be there."""
    given, wanted = torch.from_numpy(probabilities), torch.from_numpy(labels)
    counts = binary_stat_scores((given >= operating_point).long(), wanted)
    hits, false_alarms, quiet, misses, _ = (int(count) for count in counts)
    sensitivity, specificity = hits / (hits + misses), quiet / (quiet + false_alarms)
    return {
        "roc_auc": float(binary_auroc(given, wanted)),
        "accuracy": (hits + quiet) / len(labels),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "f1": 2 * hits / (2 * hits + false_alarms + misses),
        "brier": float(np.mean((probabilities - labels) ** 2)),
        "ece": float(binary_calibration_error(given, wanted, n_bins=15)),
    }


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


def _films_by_patient(patients: Sequence[str]) -> list[NDArray[np.int64]]:
    films: dict[str, list[int]] = {}
    for film, patient in enumerate(patients):
        films.setdefault(patient, []).append(film)
    return [np.array(indices, dtype=np.int64) for indices in films.values()]
