"""Half a film, or a quarter, as JPEG 2000 keeps it: what the network sees of it is what it sees of the film."""

from io import BytesIO

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from cxrnode.radiograph import Edges, Halved, Radiograph, Wavelet
from models.card import Input
from models.preprocess import fitted, squashed
from tests.builders import chest_like

FILM = chest_like(1003, 846, bits_stored=16)  # Pillow cannot halve what leaves one pixel over when it is quartered


def greys(codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    return codes.astype(np.float32) / np.float32(65535)


def halved(times: int, wavelet: Wavelet) -> tuple[Radiograph, NDArray[np.float32]]:
    """What JPEG 2000 has of the film at this size, and the whole of the same codestream."""
    buffer = BytesIO()
    Image.fromarray(FILM).save(buffer, "JPEG2000", no_jp2=True, irreversible=wavelet == "9/7", quality_layers=[0])
    with Image.open(buffer) as whole, Image.open(BytesIO(buffer.getvalue())) as smaller:
        smaller.reduce = times  # type: ignore[method-assign,assignment]
        small = Radiograph(greys(np.asarray(smaller)), *FILM.shape, Halved(times, wavelet))
        return small, greys(np.asarray(whole))


def apart(one: Radiograph | NDArray[np.float32], other: Radiograph | NDArray[np.float32]) -> float:
    """How far two are from each other as a network is fed them, root mean square."""
    return float((squashed(one, 128, 100) - squashed(other, 128, 100)).square().mean().sqrt())


@pytest.mark.parametrize("wavelet", ["5/3", "9/7"])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("resize", ["squash", "letterbox", "crop"])
def test_what_the_network_sees_of_a_part_is_what_it_sees_of_the_film(resize: str, times: int, wavelet: Wavelet) -> None:
    wanted = Input(rows=128, columns=100, resize=resize, scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    small, whole = halved(times, wavelet)

    far = (fitted(small, wanted) - fitted(whole, wanted)).abs()
    assert float(far.max()) < 3e-3
    assert float(far.square().mean().sqrt()) < 6e-4


@pytest.mark.parametrize("times", [1, 2])
def test_the_wavelet_and_half_a_pixel_matter(times: int) -> None:
    """Neither a film a half of a pixel astray, nor one that is taken for the other wavelet's, comes as near."""
    small, whole = halved(times, "5/3")
    other = Radiograph(small.greys, small.rows, small.columns, Halved(times, "9/7"))

    assert 1.25 * apart(small, whole) < apart(other, whole)
    assert 4 * apart(small, whole) < apart(small.greys, whole)


@pytest.mark.parametrize("size", [(128, 100), (500, 846), (1003, 846), (1500, 1001)])
def test_a_whole_film_is_resampled_as_torch_does_it(size: tuple[int, int]) -> None:
    image = torch.from_numpy(greys(FILM))[None, None]
    expected = functional.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)[0]

    assert torch.allclose(squashed(greys(FILM), *size), expected, rtol=0, atol=2e-5)


def test_the_edges_of_what_is_halved_lie_where_its_film_s_do() -> None:
    small, whole = halved(2, "5/3")

    assert Radiograph.of(whole).edges == Edges(0, 0, 846, 1003)
    assert small.edges == Edges(0.375, 0.375, 211.875, 251.0)
    assert Radiograph.of(small) is small
    assert small.shape == (1003, 846)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4)), np.zeros((4, 4, 3), dtype=np.float32)])
def test_anything_but_grey_float32_is_no_radiograph(wrong: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="wanted float32 of two dimensions"):
        Radiograph.of(wrong)
