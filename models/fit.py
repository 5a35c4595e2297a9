"""How a radiograph lies in the network's input: squashed, letterboxed or cropped; and a map of it back again.

* squash: the whole image, its aspect given up;
* letterbox: the whole image at its own aspect, in the middle, air around it;
* crop: the largest part of the image with the input's aspect, from its middle.

Every edge is a whole pixel of the source or of the input, so that a map is placed in the image exactly.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from cxrnode.finding import Heatmap, Span
from models.card import Input


class Box(NamedTuple):
    """Edges in whole pixels; `bottom` and `right` are the first not inside."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True)
class Fit:
    """The part of an image of `shape` that is seen, and where it lies in an input of `size`."""

    shape: tuple[int, int]
    size: tuple[int, int]
    seen: Box
    laid: Box

    def place(self, heatmap: Heatmap) -> Heatmap:
        """A map of the input, on the input's grid, as a map of the image: what lies beside the image is dropped.

        Its maximum is then that inside the image. Raises ValueError for a map on another grid.
        """
        if heatmap.values.shape != self.size:
            raise ValueError(f"map is {heatmap.values.shape}, wanted the input's grid {self.size}")
        (rows, columns), seen, laid = self.shape, self.seen, self.laid
        values = heatmap.values[laid.top : laid.bottom, laid.left : laid.right]
        highest = float(values.max())
        span = Span(seen.top / rows, seen.left / columns, seen.bottom / rows, seen.right / columns)
        relative = values if highest == 0.0 else (values / highest).clip(0, 1)
        return replace(heatmap, values=relative, span=span, peak=heatmap.peak * highest)


def fit_of(shape: tuple[int, int], wanted: Input) -> Fit:
    """How an image of `shape` (rows, columns) lies in the input of a card."""
    size = (wanted.rows, wanted.columns)
    seen, laid = Box(0, 0, *shape), Box(0, 0, *size)
    if wanted.resize == "letterbox":
        laid = _middle(size, shape)
    elif wanted.resize == "crop":
        seen = _middle(shape, size)
    return Fit(shape, size, seen, laid)


def _middle(frame: tuple[int, int], aspect: tuple[int, int]) -> Box:
    """The largest box of this aspect in the middle of a frame."""
    scale = min(side / wanted for side, wanted in zip(frame, aspect, strict=True))
    rows, columns = (min(side, max(1, round(wanted * scale))) for side, wanted in zip(frame, aspect, strict=True))
    top, left = (frame[0] - rows) // 2, (frame[1] - columns) // 2
    return Box(top, left, top + rows, left + columns)
