"""Radiograph to tensor, exactly as the card says: the same lines in training, evaluation and service."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.card import Input
from models.fit import fit_of


def to_tensor(radiograph: NDArray[np.float32], wanted: Input) -> Tensor:
    """(rows, cols) float32 in [0, 1] -> (3, wanted.rows, wanted.columns) float32, as the network wants it."""
    return normalise(fitted(radiograph, wanted)[None], wanted)[0]


def fitted(radiograph: NDArray[np.float32], wanted: Input) -> Tensor:
    """(rows, cols) float32 in [0, 1] -> (1, wanted.rows, wanted.columns), squashed, letterboxed or cropped as wanted.

    Bilinear, low-pass filtered where it shrinks; an image of the wanted size passes unchanged. Beside a letterboxed
    image lies air: 0.
    """
    fit = fit_of(_checked(radiograph), wanted)
    part = radiograph[fit.seen.top : fit.seen.bottom, fit.seen.left : fit.seen.right]
    canvas = torch.zeros((1, wanted.rows, wanted.columns))
    canvas[:, fit.laid.top : fit.laid.bottom, fit.laid.left : fit.laid.right] = squashed(part, *fit.laid.size)
    return canvas


def squashed(radiograph: NDArray[np.float32], rows: int, columns: int) -> Tensor:
    """(rows, cols) -> (1, rows, columns): the whole image, its aspect given up."""
    _checked(radiograph)
    image = torch.from_numpy(radiograph.copy())[None]  # (1, rows, cols); the caller's may be read-only
    if radiograph.shape == (rows, columns):
        return image
    return functional.interpolate(image[None], (rows, columns), mode="bilinear", antialias=True, align_corners=False)[0]


def normalise(images: Tensor, wanted: Input) -> Tensor:
    """(N, 1, rows, columns) in [0, 1] -> (N, 3, rows, columns), grey repeated: (x * scale - mean) / std."""
    mean = images.new_tensor(wanted.mean)[:, None, None]
    std = images.new_tensor(wanted.std)[:, None, None]
    return (images * wanted.scale - mean) / std


def _checked(radiograph: NDArray[np.float32]) -> tuple[int, int]:
    if radiograph.ndim != 2 or radiograph.dtype != np.float32:
        raise ValueError(f"radiograph is {radiograph.dtype} {radiograph.shape}, wanted float32 of two dimensions")
    rows, columns = radiograph.shape
    return rows, columns
