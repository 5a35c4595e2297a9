"""How well a segmenter finds lungs: Dice and IoU of each film, on the film's own grid, with patients drawn again."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.evaluation.means import mean_and_interval
from models.evaluation.measure import Figure
from models.lungs import Lungs
from models.training.lungs.pairs import Pair

Mask = NDArray[np.bool_]


def measure(lungs: Lungs, pairs: Sequence[Pair], seed: int = 0) -> tuple[Figure, ...]:
    """Mean Dice and IoU over films, neither mask grown, each with its 95 % interval from a bootstrap over patients."""
    point = lungs.terms.mask.probability
    found = np.array([overlap(lungs.mask(pair.radiograph) >= point, pair.lungs) for pair in pairs])  # (N, 2)
    patients = [pair.patient for pair in pairs]
    names = enumerate(("dice", "iou"))
    return tuple(Figure(name, *mean_and_interval(found[:, column], patients, seed)) for column, name in names)


def overlap(given: Mask, wanted: Mask) -> tuple[float, float]:
    """Dice and intersection over union of two masks; two empty ones agree."""
    both, either = int((given & wanted).sum()), int((given | wanted).sum())
    return (2 * both / (both + either), both / either) if either else (1.0, 1.0)
