"""The heat map as colour on greys: drawn only as far as the probability supports it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

RAMP = np.array([(13, 8, 135), (126, 3, 168), (204, 71, 120), (248, 149, 64), (240, 249, 33)], dtype=np.float32)
"""Five stops of matplotlib's plasma (CC0): lightness grows evenly, so it reads without colour vision too."""
CONTOUR_COLOUR = np.array((90, 240, 255), dtype=np.float32)
FLOOR = 0.2
"""Below this part of the map's maximum nothing is drawn."""
HALF = 0.5
FAINTEST, STRONGEST = 0.15, 0.42
"""Opacity at the operating point and at probability 1: the greys always show through."""


def opacity(probability: float, operating_point: float) -> float:
    """How strongly heat may be drawn, in [0, 1]: not at all under the operating point, then growing to certainty."""
    if probability < operating_point:
        return 0.0
    span = 1.0 - operating_point
    certainty = (probability - operating_point) / span if span > 0.0 else 1.0
    return FAINTEST + (STRONGEST - FAINTEST) * certainty


def colours(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Map values in [0, 1] as (..., 3) float32 in 0 to 255."""
    stops = np.linspace(0.0, 1.0, len(RAMP))
    return np.stack([np.interp(values, stops, channel) for channel in RAMP.T], axis=-1).astype(np.float32)


def paint(greys: NDArray[np.uint8], values: NDArray[np.float32], strength: float) -> NDArray[np.uint8]:
    """Lay a map, (rows, columns) in [0, 1], over greys of the same shape; (rows, columns, 3) uint8.

    `strength` is an opacity; at 0 the picture is the greys alone. Where the map lies below FLOOR and off its half
    maximum line, every pixel keeps its grey exactly.
    """
    picture = np.repeat(greys[..., None], 3, axis=-1)
    if strength == 0.0 or not values.any():
        return picture
    alpha = strength * np.clip((values - FLOOR) / (HALF - FLOOR), 0.0, 1.0)
    heated = _blend(picture.astype(np.float32), colours(values), alpha)
    width = max(1.5, max(greys.shape) / 500)
    haloed = _blend(heated, np.zeros(3, dtype=np.float32), 0.7 * contour(values, HALF, 2.5 * width))
    return np.rint(_blend(haloed, CONTOUR_COLOUR, contour(values, HALF, width))).astype(np.uint8)


def contour(values: NDArray[np.float32], level: float, width: float) -> NDArray[np.float32]:
    """How much of each pixel the line where `values` cross `level` covers, in [0, 1]; `width` in pixels."""
    slope = np.hypot(*np.gradient(values))
    distance = np.abs(values - level) / np.maximum(slope, 1e-6)
    covered: NDArray[np.float32] = np.clip(width / 2 + 0.5 - distance, 0.0, 1.0).astype(np.float32)
    return covered


def _blend(
    below: NDArray[np.float32], above: NDArray[np.float32], alpha: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    mixed: NDArray[np.float32] = below + (above - below) * alpha[..., None].astype(np.float32)
    return mixed
