"""How good one heat map is, against a mask or another map, and the maps without a model that it is held against."""

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure

Map = NDArray[np.float32]
"""(rows, columns), nowhere below nought"""
Mask = NDArray[np.bool_]

CELLS = 7
"""rows and columns of a Grad-CAM at 224 x 224, and so of a map by chance that is as coarse"""


def mass_inside(values: Map, mask: Mask) -> float:
    """The share of a map's mass that lies inside `mask`; an empty map points nowhere, and has none inside.

    With a mask of disease it is the energy-based pointing game of Score-CAM (Wang et al., CVPR Workshops 2020, section
    4.2), its box replaced by the outline.
    """
    whole = float(values.sum(dtype=np.float64))
    return min(1.0, float(values[mask].sum(dtype=np.float64)) / whole) if whole > 0 else 0.0


def uniform(rows: int, columns: int) -> Map:
    """The same everywhere: its mass inside a mask is the mask's share of the image."""
    return np.ones((rows, columns), dtype=np.float32)


def centre(rows: int, columns: int) -> Map:
    """A Gaussian in the middle, its standard deviation a quarter of each side: what points at no film in particular."""
    down, across = (np.linspace(-2, 2, side) for side in (rows, columns))
    return np.exp(-0.5 * (down[:, None] ** 2 + across[None, :] ** 2)).astype(np.float32)


def by_chance(rows: int, columns: int, generator: Generator) -> Map:
    """Even chance in 7 x 7 cells, drawn large as a Grad-CAM is: pixels by chance would tear the image to noise."""
    cells = torch.from_numpy(generator.random((1, 1, CELLS, CELLS), dtype=np.float32))
    large: Map = functional.interpolate(cells, (rows, columns), mode="bilinear")[0, 0].numpy()
    return large


def rank_correlation(one: Map, other: Map) -> float:
    """Spearman's, without its sign: a map turned inside out still shows the same. 0 where a map is the same all over.

    Adebayo et al. (NeurIPS 2018) compare maps by it.
    """
    ranks = [_ranks(values) for values in (one, other)]
    if any(np.ptp(values) == 0 for values in ranks):
        return 0.0
    return float(abs(np.corrcoef(ranks[0], ranks[1])[0, 1]))


def similarity(one: Map, other: Map) -> float:
    """Structural similarity (Wang et al., IEEE TIP 2004) of maps in [0, 1]: 1 for equal maps, about 0 for unlike."""
    found = structural_similarity_index_measure(_image(one), _image(other), data_range=1.0)
    return float(torch.as_tensor(found))


def _image(values: Map) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))[None, None]


def _ranks(values: Map) -> NDArray[np.float64]:
    """(N,) ranks, equal values sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts - 1) / 2
    return means[place.ravel()].astype(np.float64)
