"""Is the rule for stray maps any good: how many maps of a model it keeps, and how many made-up stray ones it tells."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from cxrnode.finding import Finding, Heatmap, MapMethod, Outcome
from models.evaluation.means import mean_and_interval
from models.evaluation.measure import Figure
from models.lungs import Lungs
from models.reader import Reader
from models.training.lungs.pairs import Pair

PLACES = [(0.1, 0.1), (0.1, 0.9), (0.9, 0.1), (0.9, 0.9), (0.05, 0.5), (0.95, 0.5), (0.5, 0.05), (0.5, 0.95)]
"""(row, column) as parts of the sides: the corners, where letters stand, and the middle of each edge"""
BREADTH = 0.11
"""standard deviation of a made-up map's only bump, as part of the side: about that of one cell of a 7 x 7 Grad-CAM"""


def kept(lungs: Lungs, reader: Reader, pairs: Sequence[Pair], seed: int = 0) -> tuple[Figure, int, int]:
    """The share of the reader's positives whose map is localised; how many positives, of how many patients."""
    patients, values = [], []
    for pair in pairs:
        (finding,) = reader.read([pair.radiograph])
        if reader.algorithm.judge(finding.probability) is Outcome.POSITIVE:
            patients.append(pair.patient)
            values.append(float(lungs.localise(finding, pair.radiograph).localised))
    return Figure("localised", *mean_and_interval(np.array(values), patients, seed)), len(values), len(set(patients))


def told(lungs: Lungs, pairs: Sequence[Pair], seed: int = 0) -> Figure:
    """The share of made-up stray maps, one at each place on each film, that are told from localised ones."""
    maps = list(stray_maps())
    values = [np.mean([not _localised(lungs, one, pair.radiograph) for one in maps]) for pair in pairs]
    return Figure("stray_told", *mean_and_interval(np.array(values), [pair.patient for pair in pairs], seed))


def stray_maps(side: int = 56) -> Iterator[Heatmap]:
    """A map with one bump at each of PLACES."""
    down, across = (np.mgrid[0:side, 0:side] + 0.5) / side
    for row, column in PLACES:
        values = np.exp(-((down - row) ** 2 + (across - column) ** 2) / (2 * BREADTH**2))
        yield Heatmap((values / values.max()).astype(np.float32), 1.0, MapMethod.GRAD_CAM)


def _localised(lungs: Lungs, heatmap: Heatmap, radiograph: NDArray[np.float32]) -> bool:
    return lungs.localise(Finding(0.0, 0.5, heatmap), radiograph).localised
