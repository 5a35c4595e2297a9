"""Radiograph to tensor, exactly as the card says: the same lines in training, evaluation and service."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from cxrnode.radiograph import Film, Radiograph
from models.card import Input
from models.fit import fit_of


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
    part = radiograph.part(*fit.seen)
    canvas = torch.zeros((1, wanted.rows, wanted.columns))
    canvas[:, fit.laid.top : fit.laid.bottom, fit.laid.left : fit.laid.right] = squashed(part, *fit.laid.size)
    return canvas


def squashed(film: Film, rows: int, columns: int) -> Tensor:
    """A radiograph -> (1, rows, columns): the whole image, its aspect given up."""
    radiograph = Radiograph.of(film)
    greys = radiograph.on_own_grid()
    if greys is None:
        smaller = Image.fromarray(radiograph.greys).resize((columns, rows), Image.Resampling.BILINEAR, radiograph.edges)
        return torch.from_numpy(np.array(smaller))[None]
    image = torch.from_numpy(greys.copy())[None]  # (1, rows, cols); the caller's may be read-only
    if greys.shape == (rows, columns):
        return image
    return functional.interpolate(image[None], (rows, columns), mode="bilinear", antialias=True, align_corners=False)[0]


def normalise(images: Tensor, wanted: Input) -> Tensor:
    """(N, 1, rows, columns) in [0, 1] -> (N, 3, rows, columns), grey repeated: (x * scale - mean) / std."""
    mean = images.new_tensor(wanted.mean)[:, None, None]
    std = images.new_tensor(wanted.std)[:, None, None]
    return (images * wanted.scale - mean) / std
