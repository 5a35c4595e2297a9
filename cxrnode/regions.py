"""The regions of a heat map: where it is at least half its maximum, outlined in the source's pixels.

The rule: the map is taken as bilinear between the middles of its pixels and as constant out to its own edge. Each
connected part of it at or above half the map's maximum is a region, unless it covers less than a five-hundredth of the
image. A region belongs to one side when at least nine tenths of it lie in that half of the picture.
"""

from collections.abc import Iterator
from typing import cast

import numpy as np
from contourpy import FillType, contour_generator
from numpy.typing import NDArray
from pydicom import Dataset

from cxrnode.finding import Heatmap, Region, Side
from cxrnode.headers.orientation import sides

HALF = 0.5
SMALLEST_SHARE = 0.002
ON_ONE_SIDE = 0.9
MOST_POINTS = 4000
"""of one outline: a value of two numbers a point, four bytes each, may hold 64 KiB (FL in Explicit VR, PS3.5 7.1.2)"""
BEYOND = 1e-6
"""how far outside the map's edge it has fallen to nothing, in its own pixels"""

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]


def regions(heatmap: Heatmap, rows: int, columns: int, source: Dataset) -> tuple[Region, ...]:
    """The regions of a map of an image of (rows, columns) pixels, the strongest first; none when the map is empty.

    `source` is asked for the patient's orientation.
    """
    found = []
    at_the_edges = sides(source)
    height, width = heatmap.values.shape
    for outline in _outlines(heatmap):
        inside = rasterised(outline, height, width)
        placed = _in_the_image(_thinned(outline), heatmap, rows, columns)
        if _area(placed) < SMALLEST_SHARE * rows * columns:
            continue
        strongest = float(heatmap.values[inside].max(initial=HALF))
        found.append(Region(placed, heatmap.peak * strongest, _side(placed, columns, at_the_edges)))
    return tuple(sorted(found, key=lambda region: (-region.peak, *region.outline[0])))


def rasterised(outline: Points, rows: int, columns: int) -> Mask:
    """The pixels whose middle lies inside the outline, (rows, columns), between each row's odd and even crossings."""
    x, y = outline.T - 0.5
    first, last = (np.ceil(np.sort([y[:-1], y[1:]], axis=0)).astype(int)).clip(0, rows)
    edges = np.repeat(np.arange(len(first)), last - first)
    row = np.arange(len(edges)) - np.repeat(np.cumsum(last - first) - last, last - first)
    slope = (x[1:] - x[:-1])[edges] / (y[1:] - y[:-1])[edges]
    crossing = np.ceil(x[edges] + (row - y[edges]) * slope).astype(int).clip(0, columns)
    places = np.sort(row * columns + crossing)
    inside: Mask = np.zeros((rows, columns), dtype=np.bool_)
    whole = inside.reshape(-1)
    for begin, end in zip(places[::2].tolist(), places[1::2].tolist(), strict=True):  # of one row, as each has both
        whole[begin:end] = True
    return inside


def _outlines(heatmap: Heatmap) -> Iterator[Points]:
    """Closed outlines on the map's own grid, 0 at its first pixel's outer edge; what is hollow is filled."""
    values = np.pad(np.pad(heatmap.values.astype(np.float64), 1, mode="edge"), 1)
    y, x = (np.array([-BEYOND, 0.0, *np.arange(side) + 0.5, side, side + BEYOND]) for side in heatmap.values.shape)
    generator = contour_generator(x, y, values, fill_type=FillType.OuterOffset)
    filled = generator.filled(HALF, 2.0)
    shapes, offsets = cast("tuple[list[Points], list[NDArray[np.uint32]]]", filled)  # by the type of filling
    for points, starts in zip(shapes, offsets, strict=True):
        yield points[: starts[1]].clip(0, np.array(heatmap.values.shape[::-1]))


def _thinned(outline: Points) -> Points:
    """Every n-th point of an outline that has too many, as one of noise may have; the last is still the first."""
    step = -(-len(outline) // MOST_POINTS)
    return outline if step == 1 else np.concatenate([outline[:-1:step], outline[:1]])


def _in_the_image(outline: Points, heatmap: Heatmap, rows: int, columns: int) -> Points:
    """From the map's grid to the image's pixels."""
    span, (height, width) = heatmap.span, heatmap.values.shape
    across = span.left + outline[:, 0] / width * (span.right - span.left)
    down = span.top + outline[:, 1] / height * (span.bottom - span.top)
    return np.stack([across * columns, down * rows], axis=1)


def _area(outline: Points) -> float:
    """By the shoelace formula, in square pixels."""
    (x, y), (next_x, next_y) = outline[:-1].T, outline[1:].T
    return abs(float(np.sum(x * next_y - next_x * y))) / 2


def _side(outline: Points, columns: int, at_the_edges: tuple[Side, Side] | None) -> Side | None:
    if at_the_edges is None:
        return None
    middle = columns / 2
    to_the_left = np.stack([outline[:, 0].clip(max=middle), outline[:, 1]], axis=1)
    share = _area(to_the_left) / _area(outline)
    if share >= ON_ONE_SIDE:
        return at_the_edges[0]
    return at_the_edges[1] if share <= 1 - ON_ONE_SIDE else None
