"""The heat map as colour on greys: drawn only as far as the probability supports it."""

from functools import cache
from typing import Any

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
    picture = Image.fromarray(greys).convert("RGB")
    if strength > 0.0:
        levels = Image.fromarray(np.rint(values * 255).astype(np.uint8))
        picture.paste(_coloured(levels), mask=levels.point(_opacities(strength)))
    return picture


def _coloured(levels: Image.Image) -> Image.Image:
    """Levels of 0 to 255 in the heat's colours."""
    levels = levels.copy()
    levels.putpalette(_palette())
    return levels.convert("RGB")


@cache
def _palette() -> bytes:
    return np.rint(colours(LEVELS)).astype(np.uint8).tobytes()


def _opacities(strength: float) -> list[int]:
    """For each of 256 levels of a map, 0 to 255."""
    return [round(one) for one in 255 * strength * np.clip((LEVELS - FLOOR) / (HALF - FLOOR), 0.0, 1.0)]
