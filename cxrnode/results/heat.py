"""The heat map as colour on greys: drawn only as far as the probability supports it."""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrnode.regions import HALF

RAMP = np.array(
    [
        (13, 8, 135), (76, 2, 161), (126, 3, 168), (170, 35, 149), (204, 71, 120),
        (230, 108, 92), (248, 149, 64), (253, 197, 39), (240, 249, 33),
    ],
    dtype=np.float32,
)  # fmt: skip
"""Nine stops of matplotlib's plasma (CC0): lightness grows all the way, for every kind of colour vision.

With five stops it does not: to an eye without red cones the straight piece from blue to violet grows darker.
"""
FLOOR = 0.2
"""Below this part of the map's maximum nothing is drawn."""
FAINTEST, STRONGEST = 0.15, 0.42
"""Opacity at the operating point and at probability 1: the greys always show through."""
LEVELS = np.linspace(0.0, 1.0, 256)


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


def paint(greys: NDArray[np.uint8], values: NDArray[np.float32], strength: float) -> Image.Image:
    """Lay a map, (rows, columns) in [0, 1], over greys of the same shape; an RGB picture.

    `strength` is the opacity where the map is at least HALF, which is in its regions; at 0 the picture is the greys
    alone. Where the map lies below FLOOR every pixel keeps its grey exactly; elsewhere colour and opacity are in 256
    steps, which is within two levels of what they would be without.
    """
    picture = np.asarray(cv2.cvtColor(greys, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    if strength > 0.0:
        levels, opacities = cv2.convertScaleAbs(values, alpha=255), _opacities(strength)
        left, top, width, height = cv2.boundingRect(cv2.LUT(levels, opacities))
        if not height:
            return Image.fromarray(picture)
        rows, columns = slice(top, top + height), slice(left, left + width)
        levels, part = np.ascontiguousarray(levels[rows, columns]), np.ascontiguousarray(greys[rows, columns])
        kept = cv2.multiply(part, cv2.LUT(levels, 255 - opacities), scale=1 / 255)
        laid = np.rint(_palette() * (opacities / 255.0)[:, None]).astype(np.uint8)
        picture[rows, columns] = cv2.merge([cv2.add(kept, cv2.LUT(levels, channel)) for channel in laid.T.copy()])
    return Image.fromarray(picture)


@cache
def _palette() -> NDArray[np.float32]:
    """(256, 3) in 0 to 255."""
    return colours(LEVELS)


def _opacities(strength: float) -> NDArray[np.uint8]:
    """For each of 256 levels of a map, 0 to 255."""
    return np.rint(255 * strength * np.clip((LEVELS - FLOOR) / (HALF - FLOOR), 0.0, 1.0)).astype(np.uint8)
