"""A film's greys, all of them or those that JPEG 2000 keeps of it at a half or a quarter of its size."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Greys = NDArray[np.float32]
"""(rows, columns) float32 in [0, 1], air dark and bone bright."""


class Edges(NamedTuple):
    """In pixels from the outer corner of the first, parts of a pixel included; Pillow's order."""

    left: float
    top: float
    right: float
    bottom: float


Wavelet = Literal["5/3", "9/7"]


class Halved(NamedTuple):
    """How often a film was halved, and by which wavelet's low-pass filter (ISO/IEC 15444-1, Annex F)."""

    times: int
    wavelet: Wavelet


@dataclass(frozen=True, eq=False)
class Radiograph:
    """The `greys` of a film of `rows` and `columns`: (ceil(rows / 2**times), ceil(columns / 2**times)) if it is halved.

    All that is said of places is said in the film's own pixels, whatever there is to look at.
    """

    greys: Greys
    rows: int
    columns: int
    halved: Halved | None = None

    @classmethod
    def of(cls, film: "Film") -> "Radiograph":
        """All greys of a film as a radiograph; a radiograph as it is."""
        if isinstance(film, cls):
            return film
        greys = np.asarray(film)
        if greys.ndim != 2 or greys.dtype != np.float32:
            raise ValueError(f"radiograph is {greys.dtype} {greys.shape}, wanted float32 of two dimensions")
        rows, columns = greys.shape
        return cls(greys, rows, columns)

    @property
    def shape(self) -> tuple[int, int]:
        """The film's rows and columns."""
        return self.rows, self.columns

    @property
    def edges(self) -> Edges:
        """Where the film lies among its greys: what is halved n times has the middles of its pixels 0, 2**n ...

        For looking at; the last may be cut off by as little as half a pixel.
        """
        step = 2**self.halved.times if self.halved else 1
        before = 0.5 - 0.5 / step
        rows, columns = self.greys.shape
        right, bottom = before + self.columns / step, before + self.rows / step
        return Edges(before, before, min(right, columns), min(bottom, rows))


Film = Radiograph | Greys
"""A radiograph, or all greys of one."""
