"""The radiograph reaches the network whole, in the card's units, and the same way each time."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cxrnode.radiograph import Radiograph
from models.card import Input
from models.preprocess import fitted, squashed, to_tensor

LITE0 = Input(rows=224, columns=224, resize="squash", scale=255.0, mean=(127.0,) * 3, std=(128.0,) * 3)


def noise(rows: int, columns: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((rows, columns), dtype=np.float32)


def test_values_are_scaled_as_the_card_says() -> None:
    radiograph = np.full((224, 224), 200 / 255, dtype=np.float32)
    tensor = to_tensor(radiograph, LITE0)
    assert tensor.shape == (3, 224, 224)
    assert tensor.dtype == torch.float32
    assert tensor.numpy() == pytest.approx((200 - 127) / 128, abs=1e-6)


def test_an_image_of_the_wanted_size_passes_unchanged() -> None:
    radiograph = noise(224, 224)
    assert np.array_equal(fitted(radiograph, LITE0)[0].numpy(), radiograph)


def test_the_whole_image_is_squashed_from_edge_to_edge() -> None:
    radiograph = np.zeros((448, 1120), dtype=np.float32)
    radiograph[:, :280] = 1.0  # the left quarter
    columns = fitted(radiograph, LITE0)[0].numpy().mean(axis=0)
    assert columns[:55] == pytest.approx(1.0, abs=1e-5)
    assert columns[57:] == pytest.approx(0.0, abs=1e-5)


def test_detail_too_fine_for_the_grid_becomes_its_mean() -> None:
    """Without a low-pass filter the noise of single pixels would stand at about half its strength, 0.14."""
    small = fitted(noise(1792, 1792), LITE0).numpy()
    assert small.mean() == pytest.approx(0.5, abs=0.01)
    assert small.std() < 0.05


def test_the_same_image_gives_the_same_tensor_whatever_its_memory() -> None:
    radiograph = noise(300, 251)
    frozen = np.asfortranarray(radiograph)
    frozen.flags.writeable = False
    backwards = radiograph[::-1].copy()[::-1]
    assert torch.equal(to_tensor(frozen, LITE0), to_tensor(radiograph, LITE0))
    assert torch.equal(to_tensor(backwards, LITE0), to_tensor(radiograph, LITE0))


@pytest.mark.parametrize("wrong", [np.zeros((4, 4)), np.zeros((4, 4, 3), dtype=np.float32)])
def test_anything_but_a_grey_float32_image_is_refused(wrong: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="wanted float32 of two dimensions"):
        fitted(wrong, LITE0)


def test_what_was_made_of_a_film_is_made_once_and_nobody_else_s() -> None:
    """Red when the picture itself is handed out, or when another film's is."""
    film, other = Radiograph.of(noise(300, 200)), Radiograph.of(1.0 - noise(300, 200))
    first = squashed(film, 128, 128)
    first += 1.0  # its reader's own
    again, theirs = squashed(film, 128, 128), squashed(other, 128, 128)

    assert torch.allclose(again, first - 1.0, atol=1e-6)
    assert torch.allclose(theirs, 1.0 - again, atol=1e-5)
    assert torch.equal(squashed(film, 128, 128), again)
    assert squashed(film, 64, 128).shape == (1, 64, 128)
