"""A radiograph on a coarser grid: its parts and its edges stay where the film has them, wherever they fall."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cxrnode.radiograph import Edges, Radiograph
from models.card import Input
from models.preprocess import fitted, squashed

ROWS, COLUMNS, FINER = 1003, 845, 4


def wave(rows: float, columns: float, offset: float, step: float) -> NDArray[np.float32]:
    """A smooth picture of the film, looked at every `step` of its pixels, the first of them at `offset`."""
    y, x = np.arange(rows)[:, None] * step + offset, np.arange(columns) * step + offset
    return np.asarray(0.5 + 0.4 * np.sin(0.02 * x + 0.3) * np.cos(0.015 * y), dtype=np.float32)


FILM = wave(ROWS, COLUMNS, 0, 1)
COARSE = wave(-(-ROWS // FINER) + 1, -(-COLUMNS // FINER) + 1, 0, FINER)
LEAST, MOST = 0.5 - 0.5 / FINER, 0.5 - 0.5 / FINER
REDUCED = Radiograph(COARSE, ROWS, COLUMNS, Edges(LEAST, LEAST, MOST + COLUMNS / FINER, MOST + ROWS / FINER))
"""The film's pixels 0, 4, 8 ... as JPEG 2000 has them: its edges are in the middle of nothing."""


@pytest.mark.parametrize("resize", ["squash", "letterbox", "crop"])
def test_what_the_network_sees_of_a_coarser_grid_is_what_it_sees_of_the_film(resize: str) -> None:
    wanted = Input(rows=96, columns=64, resize=resize, scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)

    assert float((fitted(REDUCED, wanted) - fitted(FILM, wanted)).abs().max()) < 1e-2


def test_half_a_pixel_is_not_lost_where_edges_fall_between_pixels() -> None:
    astray = Radiograph(COARSE, ROWS, COLUMNS, Edges(0, 0, COLUMNS / FINER, ROWS / FINER))

    right, wrong = (float((squashed(one, 96, 64) - squashed(FILM, 96, 64)).abs().mean()) for one in (REDUCED, astray))
    assert right < 1e-3 < 4 * right < wrong


def test_a_film_on_its_own_grid_is_looked_at_as_it_is() -> None:
    whole = Radiograph.of(FILM)

    assert whole.on_own_grid() is not None
    assert Radiograph.of(whole) is whole
    assert np.array_equal(squashed(whole, ROWS, COLUMNS)[0], FILM)
    part = whole.part(10, 20, 110, 320)
    assert part.shape == (100, 300)
    assert np.array_equal(part.on_own_grid(), FILM[10:110, 20:320])
    assert REDUCED.on_own_grid() is None


@pytest.mark.parametrize("wrong", [np.zeros((4, 4)), np.zeros((4, 4, 3), dtype=np.float32)])
def test_anything_but_grey_float32_is_no_radiograph(wrong: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="wanted float32 of two dimensions"):
        Radiograph.of(wrong)
