"""Radiograph to tensor, exactly as the card says: the same lines in training, evaluation and service."""

import torch
from torch import Tensor

from cxrnode.radiograph import Film, Radiograph
from models.card import Input
from models.fit import Box, fit_of
from models.resample import resampled


def to_tensor(film: Film, wanted: Input) -> Tensor:
    """A radiograph in [0, 1] -> (3, wanted.rows, wanted.columns) float32, as the network wants it."""
    return normalise(fitted(film, wanted)[None], wanted)[0]


def fitted(film: Film, wanted: Input) -> Tensor:
    """A radiograph in [0, 1] -> (1, wanted.rows, wanted.columns), squashed, letterboxed or cropped as wanted.

    Bilinear, low-pass filtered where it shrinks; an image of the wanted size passes unchanged. Beside a letterboxed
    image lies air: 0.
    """
    radiograph = Radiograph.of(film)
    fit = fit_of(radiograph.shape, wanted)
    seen = torch.from_numpy(resampled(radiograph, fit.seen, *fit.laid.size))
    canvas = torch.zeros((1, wanted.rows, wanted.columns))
    canvas[0, fit.laid.top : fit.laid.bottom, fit.laid.left : fit.laid.right] = seen
    return canvas


def squashed(film: Film, rows: int, columns: int) -> Tensor:
    """A radiograph -> (1, rows, columns): the whole image, its aspect given up."""
    radiograph = Radiograph.of(film)
    return torch.from_numpy(resampled(radiograph, Box(0, 0, *radiograph.shape), rows, columns))[None]


def normalise(images: Tensor, wanted: Input) -> Tensor:
    """(N, 1, rows, columns) in [0, 1] -> (N, 3, rows, columns), grey repeated: (x * scale - mean) / std."""
    mean = images.new_tensor(wanted.mean)[:, None, None]
    std = images.new_tensor(wanted.std)[:, None, None]
    return (images * wanted.scale - mean) / std
