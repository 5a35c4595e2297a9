"""A film's greys, on the film's own grid or on a coarser one, and where the film lies on it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Greys = NDArray[np.float32]
"""(rows, columns) float32 in [0, 1], air dark and bone bright."""


class Edges(NamedTuple):
    """In pixels of a grid from the outer corner of its first, parts of a pixel included; Pillow's order."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, eq=False)
class Radiograph:
    """`greys` of a film of `rows` and `columns`, which lies within `edges` of their grid.

    All that is said of places is said in the film's own pixels; the grid is for looking at it.
    """

    greys: Greys
    rows: int
    columns: int
    edges: Edges

    @classmethod
    def of(cls, film: "Film") -> "Radiograph":
        """Greys that are on the film's own grid, as a radiograph; a radiograph as it is."""
        if isinstance(film, cls):
            return film
        greys = np.asarray(film)
        if greys.ndim != 2 or greys.dtype != np.float32:
            raise ValueError(f"radiograph is {greys.dtype} {greys.shape}, wanted float32 of two dimensions")
        rows, columns = greys.shape
        return cls(greys, rows, columns, Edges(0, 0, columns, rows))

    @property
    def shape(self) -> tuple[int, int]:
        """The film's rows and columns."""
        return self.rows, self.columns

    def part(self, top: int, left: int, bottom: int, right: int) -> "Radiograph":
        """What lies between these edges, which are in the film's pixels."""
        down = (self.edges.bottom - self.edges.top) / self.rows
        across = (self.edges.right - self.edges.left) / self.columns
        edges = Edges(
            self.edges.left + left * across,
            self.edges.top + top * down,
            self.edges.left + right * across,
            self.edges.top + bottom * down,
        )
        return Radiograph(self.greys, bottom - top, right - left, edges)

    def on_own_grid(self) -> Greys | None:
        """The film's greys where the grid is its own, one pixel a pixel; None where it is coarser."""
        left, top, right, bottom = (round(edge) for edge in self.edges)
        if self.edges != (left, top, right, bottom) or (bottom - top, right - left) != self.shape:
            return None
        return self.greys[top:bottom, left:right]


Film = Radiograph | Greys
"""A radiograph, or the greys of one on its own grid."""
