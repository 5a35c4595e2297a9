"""Changes of a film's frame alone: its aspect, the body's stretch in it, its border; what a lung shows stays the same.

Kermany's films tell their class by their aspect (width / height; medians of the originals 1.21 normal, 1.50 pneumonia).
A network that is fed squashed films sees it as a body stretched by 1.50 / 1.21 = 1.24 more in one class than the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.preprocess import squashed

Radiograph = NDArray[np.float32]
"""(rows, columns) in [0, 1]"""
Fill = Literal["black", "edge"]
"""what a border is filled with: 0, or the median grey of the film's outermost pixels"""

ASPECTS = (1.21, 1.50)
"""medians of Kermany's originals: normal, pneumonia"""
STRETCH = ASPECTS[1] / ASPECTS[0]
BORDER = 0.05
"""of the film's side, at each of its four edges"""


@dataclass(frozen=True)
class Change:
    """One change; `make` takes a film and its label. `seen` is False for one that squashing undoes."""

    name: str
    make: Callable[[Radiograph, int], Radiograph]
    seen: bool = True


def resampled(film: Radiograph, aspect: float) -> Radiograph:
    """The whole film on a grid of another aspect and as many rows."""
    rows = film.shape[0]
    return _drawn(film, rows, round(rows * aspect))


def stretched(film: Radiograph, down: float, across: float) -> Radiograph:
    """Drawn larger by factors of at least 1, then cut to the frame that it had, from the middle."""
    rows, columns = film.shape
    return _middle(_drawn(film, round(rows * down), round(columns * across)), rows, columns)


def squeezed(film: Radiograph, down: float, across: float, fill: Fill) -> Radiograph:
    """Drawn smaller by factors of at least 1, then set in the middle of the frame that it had."""
    rows, columns = film.shape
    return _framed(_drawn(film, round(rows / down), round(columns / across)), rows, columns, _grey(film, fill))


def padded(film: Radiograph, aspect: float, fill: Fill) -> Radiograph:
    """A frame of this aspect around the film, as small as holds it."""
    rows, columns = film.shape
    height, width = max(rows, round(columns / aspect)), max(columns, round(rows * aspect))
    return _framed(film, height, width, _grey(film, fill))


def cut(film: Radiograph, aspect: float) -> Radiograph:
    """The largest middle of the film that has this aspect."""
    rows, columns = film.shape
    return _middle(film, min(rows, round(columns / aspect)), min(columns, round(rows * aspect)))


def trimmed(film: Radiograph, share: float) -> Radiograph:
    """The film without `share` of its side at each edge."""
    rows, columns = film.shape
    return _middle(film, rows - 2 * round(rows * share), columns - 2 * round(columns * share))


def bordered(film: Radiograph, share: float, fill: Fill) -> Radiograph:
    """The film with a border as wide as `share` of its side at each edge."""
    rows, columns = film.shape
    height, width = rows + 2 * round(rows * share), columns + 2 * round(columns * share)
    return _framed(film, height, width, _grey(film, fill))


def _other(film: Radiograph, label: int, make: Callable[[Radiograph, float], Radiograph]) -> Radiograph:
    return make(film, ASPECTS[1 - label])


def _whatever(film: Radiograph, _: int, make: Callable[[Radiograph], Radiograph]) -> Radiograph:
    return make(film)


def _to_other(name: str, make: Callable[[Radiograph, float], Radiograph], *, seen: bool = True) -> Change:
    return Change(name, partial(_other, make=make), seen)


def _for_all(name: str, make: Callable[[Radiograph], Radiograph]) -> Change:
    return Change(name, partial(_whatever, make=make))


CHANGES: tuple[Change, ...] = (
    _to_other("resampled_to_other_aspect", resampled, seen=False),
    _to_other("padded_black_to_other_aspect", partial(padded, fill="black")),
    _to_other("padded_edge_to_other_aspect", partial(padded, fill="edge")),
    _to_other("cut_to_other_aspect", cut),
    _for_all("stretched_across", partial(stretched, down=1.0, across=STRETCH)),
    _for_all("stretched_down", partial(stretched, down=STRETCH, across=1.0)),
    _for_all("squeezed_across_black", partial(squeezed, down=1.0, across=STRETCH, fill="black")),
    _for_all("squeezed_across_edge", partial(squeezed, down=1.0, across=STRETCH, fill="edge")),
    _for_all("squeezed_down_black", partial(squeezed, down=STRETCH, across=1.0, fill="black")),
    _for_all("squeezed_down_edge", partial(squeezed, down=STRETCH, across=1.0, fill="edge")),
    _for_all("border_cut", partial(trimmed, share=BORDER)),
    _for_all("border_black", partial(bordered, share=BORDER, fill="black")),
    _for_all("border_edge", partial(bordered, share=BORDER, fill="edge")),
)
"""`_to_other_aspect`: of the class that the film is not of, by its label"""


def _drawn(film: Radiograph, rows: int, columns: int) -> Radiograph:
    drawn: Radiograph = squashed(film, rows, columns)[0].numpy()
    return drawn


def _middle(film: Radiograph, rows: int, columns: int) -> Radiograph:
    top, left = (film.shape[0] - rows) // 2, (film.shape[1] - columns) // 2
    return np.ascontiguousarray(film[top : top + rows, left : left + columns])


def _framed(film: Radiograph, rows: int, columns: int, grey: float) -> Radiograph:
    framed = np.full((rows, columns), grey, dtype=np.float32)
    top, left = (rows - film.shape[0]) // 2, (columns - film.shape[1]) // 2
    framed[top : top + film.shape[0], left : left + film.shape[1]] = film
    return framed


def _grey(film: Radiograph, fill: Fill) -> float:
    if fill == "black":
        return 0.0
    return float(np.median(np.concatenate([film[0], film[-1], film[:, 0], film[:, -1]])))
