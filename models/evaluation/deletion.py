"""Deletion and insertion (RISE, Petsiuk et al., BMVC 2018): whether what a map marks carries the answer."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torchvision.transforms.functional import gaussian_blur

from models.evaluation.maps import Map

Answer = Callable[[Sequence[Map]], NDArray[np.float64]]
"""radiographs -> (N,) probabilities"""

STEPS = 20
"""equal parts in which a film is taken away or given back; the paper takes one row's pixels at a time, 224"""
BLUR = 1 / 20
"""of a film's side: the standard deviation of the blur that insertion begins from"""


def deletion(answer: Answer, film: Map, shown: Map, generator: Generator) -> NDArray[np.float64]:
    """(STEPS + 1,) probabilities while the film turns to its own mean grey, what the map marks most going first."""
    return answer(_turned(film, np.full_like(film, film.mean()), shown, generator))


def insertion(answer: Answer, film: Map, shown: Map, generator: Generator) -> NDArray[np.float64]:
    """(STEPS + 1,) probabilities while the film, blurred, becomes sharp, what the map marks most coming first."""
    return answer(_turned(_blurred(film), film, shown, generator))


def area(curve: NDArray[np.float64]) -> float:
    """The area under it by trapezia, its length being 1: low is good for deletion, high for insertion."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def _turned(film: Map, other: Map, shown: Map, generator: Generator) -> list[Map]:
    """STEPS + 1 images from `film` to `other`; chance decides among equal values of the map."""
    order = np.lexsort((generator.random(shown.size), -shown.ravel()))
    images = []
    for step in range(STEPS + 1):
        image = film.copy()
        changed = order[: round(step * film.size / STEPS)]
        image.ravel()[changed] = other.ravel()[changed]
        images.append(image)
    return images


def _blurred(film: Map) -> Map:
    sigma = [BLUR * side for side in (film.shape[1], film.shape[0])]
    kernel = [2 * round(2 * one) + 1 for one in sigma]
    blurred: Map = gaussian_blur(torch.from_numpy(film)[None], kernel, sigma)[0].numpy()
    return blurred
