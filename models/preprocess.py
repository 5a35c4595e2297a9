"""Radiograph to tensor, exactly as the card says: the same lines in training, evaluation and service."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.card import Input


def to_tensor(radiograph: NDArray[np.float32], wanted: Input) -> Tensor:
    """(rows, cols) float32 in [0, 1] -> (3, wanted.rows, wanted.columns) float32, as the network wants it."""
    return normalise(squash(radiograph, wanted)[None], wanted)[0]


def squash(radiograph: NDArray[np.float32], wanted: Input) -> Tensor:
    """(rows, cols) float32 in [0, 1] -> (1, wanted.rows, wanted.columns): the whole image, its aspect given up.

    Bilinear, low-pass filtered where it shrinks; an image of the wanted size passes unchanged.
    """
    return squashed(radiograph, wanted.rows, wanted.columns)


def squashed(radiograph: NDArray[np.float32], rows: int, columns: int) -> Tensor:
    """`squash` to (1, rows, columns)."""
    if radiograph.ndim != 2 or radiograph.dtype != np.float32:
        raise ValueError(f"radiograph is {radiograph.dtype} {radiograph.shape}, wanted float32 of two dimensions")
    image = torch.from_numpy(radiograph.copy())[None]  # (1, rows, cols); the caller's may be read-only
    if radiograph.shape == (rows, columns):
        return image
    return functional.interpolate(image[None], (rows, columns), mode="bilinear", antialias=True, align_corners=False)[0]


def normalise(images: Tensor, wanted: Input) -> Tensor:
    """(N, 1, rows, columns) in [0, 1] -> (N, 3, rows, columns), grey repeated: (x * scale - mean) / std."""
    mean = images.new_tensor(wanted.mean)[:, None, None]
    std = images.new_tensor(wanted.std)[:, None, None]
    return (images * wanted.scale - mean) / std
