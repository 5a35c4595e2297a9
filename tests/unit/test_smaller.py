"""A picture made smaller is Pillow's, whatever part of the greys it is of."""

import numpy as np
import pytest
from PIL import Image

from cxrnode.radiograph import Edges
from cxrnode.results.smaller import smaller


@pytest.mark.parametrize(
    ("shape", "edges", "size"),
    [
        ((125, 102), Edges(0.0, 0.0, 102.0, 125.0), (89, 108)),
        ((125, 102), Edges(0.25, 0.25, 102.0, 125.0), (89, 108)),
        ((63, 51), Edges(0.375, 0.375, 50.5, 62.625), (13, 17)),
        ((64, 64), Edges(0.0, 0.0, 64.0, 64.0), (64, 64)),
        ((300, 7), Edges(0.0, 0.0, 7.0, 300.0), (2, 80)),
        ((64, 64), Edges(0.0, 0.0, 64.0, 64.0), (1, 1)),
    ],
)
def test_a_smaller_picture_is_the_one_that_pillow_makes(
    shape: tuple[int, int], edges: Edges, size: tuple[int, int]
) -> None:
    """Red with Pillow's a of -0.5 taken for OpenCV's -0.75, and with the edges left out."""
    greys = np.random.default_rng(3).random(shape, dtype=np.float32)

    made = smaller(greys, edges, size)

    wanted = np.asarray(Image.fromarray(greys).resize(size, Image.Resampling.BICUBIC, edges))
    assert made.dtype == np.float32
    assert np.abs(made - wanted).max() < 1e-5
