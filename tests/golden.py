"""Golden pictures: overlays of a made-up film that a person has looked at; `python -m tests.golden` draws them anew."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from cxrnode.finding import Heatmap, MapMethod, Reading
from cxrnode.results.overlay import draw
from cxrnode.settings.language import load_words
from tests.builders import chest_like, make_cxr
from tests.fakes import ALGORITHM
from tests.readings import analysed, astray, with_regions

FOLDER = Path(__file__).parent / "golden"
SHAPE, LONGEST_SIDE = (520, 480), 640
AGE_UNKNOWN = "PatientAge (0010,1010) is absent; the model was trained on ages 1 to 5 years."
SOURCE = make_cxr(chest_like(*SHAPE))

Picture = NDArray[np.uint8]


@cache
def film() -> NDArray[np.float32]:
    """Two lungs without noise, which would make the files large."""
    eight_bits = Image.fromarray((chest_like(*SHAPE) >> 4).astype(np.uint8))
    return np.asarray(eight_bits.filter(ImageFilter.GaussianBlur(4)), dtype=np.float32) / 255


def two_regions(shift: float = 0.0) -> Reading:
    """A positive whose map has a bump in each lung; `shift` moves both down, in parts of the image."""
    y, x = (np.mgrid[0:14, 0:14] + 0.5) / 14
    bumps = (
        height * np.exp(-(((y - shift - row) / 0.12) ** 2) - ((x - column) / 0.1) ** 2)
        for height, row, column in ((1.0, 0.62, 0.3), (0.8, 0.4, 0.7))
    )
    values = np.sum(list(bumps), axis=0)
    reading = analysed(SOURCE, 0.95, warnings=(AGE_UNKNOWN,))
    assert reading.finding is not None
    heatmap = Heatmap((values / values.max()).astype(np.float32), 3.0, MapMethod.GRAD_CAM)
    return with_regions(replace(reading, finding=replace(reading.finding, heatmap=heatmap)), SOURCE)


def overlay(reading: Reading, language: str = "en") -> Picture:
    """The overlay of the film."""
    return draw(film(), reading, ALGORITHM, LONGEST_SIDE, words=load_words(language))


PICTURES: dict[str, Callable[[], Picture]] = {
    "positive": lambda: overlay(two_regions()),
    "positive-japanese": lambda: overlay(two_regions(), "ja"),
    "negative": lambda: overlay(analysed(SOURCE, 0.1)),
    "not-localised": lambda: overlay(astray(SOURCE)),
}


def path_of(name: str) -> Path:
    """Where a golden picture lies."""
    return FOLDER / f"{name}.png"


if __name__ == "__main__":
    for picture, drawn in PICTURES.items():
        Image.fromarray(drawn()).save(path_of(picture), optimize=True)
