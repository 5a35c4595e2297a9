"""Films take little memory, and what is kept of them is what service would see."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrnode.errors import TrainingError
from models.card import Input
from models.preprocess import fitted
from models.training.dataset import batch_of, radiograph_of, read_films
from models.training.kept import Kept, radiograph
from models.training.recipe import Films
from tests.films import films_table, write_films, write_manifest

INPUT = Input(rows=224, columns=224, resize="squash", scale=255.0, mean=(127.0,) * 3, std=(128.0,) * 3)
GENERATOR = np.random.default_rng(2)


def forbidden() -> np.ndarray:
    raise AssertionError("decoded again")


def test_small_films_are_kept_whole_and_give_exactly_what_service_sees() -> None:
    pixels = GENERATOR.integers(0, 256, (320, 395), dtype=np.uint8)
    kept = Kept(pixels, forbidden)
    assert np.array_equal(kept.pixels, pixels)
    assert np.array_equal(kept.squashed(INPUT), fitted(pixels.astype(np.float32) / np.float32(255), INPUT))
    assert kept.nbytes == pixels.nbytes


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_large_films_are_made_small_once_to_within_a_rounding(kind: type) -> None:
    pixels = (GENERATOR.random((1500, 1700)) * (255 if kind is np.uint8 else 1)).astype(kind)
    kept = Kept(pixels, forbidden)
    exact = fitted(radiograph(pixels), INPUT).numpy()
    first = kept.squashed(INPUT, pixels).numpy()
    assert np.abs(first - exact).max() <= 0.5 / 65535 + 1e-7
    assert np.array_equal(kept.squashed(INPUT).numpy(), first), "and is not decoded again"
    assert kept.nbytes == 2 * 224 * 224
    with pytest.raises(AssertionError, match="decoded again"):
        _ = kept.pixels


def test_films_as_large_as_the_originals_fit_in_memory_and_can_be_seen_whole(tmp_path: Path) -> None:
    rows = write_films(tmp_path)
    large = GENERATOR.integers(0, 256, (1100, 1400), dtype=np.uint8)
    Image.fromarray(large).save(tmp_path / rows[0]["file"])
    write_manifest(tmp_path, [{key: value for key, value in row.items() if key != "sha256"} for row in rows])
    films = read_films(tmp_path, Films.model_validate(films_table()), keep=INPUT).films
    assert films[0].kept.nbytes * 5232 < 0.6e9
    assert np.array_equal(films[0].pixels, large)
    assert np.array_equal(radiograph_of(films[0]), large.astype(np.float32) / np.float32(255))
    (tmp_path / rows[0]["file"]).unlink()
    assert batch_of(films[:2], INPUT).shape == (2, 1, 224, 224)
    with pytest.raises(TrainingError, match=r"films/train-0\.png could be read before; now the file cannot be read"):
        _ = films[0].pixels


def test_a_film_may_be_shown_with_other_pixels(tmp_path: Path) -> None:
    write_films(tmp_path)
    film = read_films(tmp_path, Films.model_validate(films_table())).films[0]
    cut = film.changed(lambda pixels: pixels[:, 8:56])
    assert np.array_equal(cut.pixels, film.pixels[:, 8:56])
    assert (cut.file, cut.label, cut.patient) == (film.file, film.label, film.patient)
