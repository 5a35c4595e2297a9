"""Lossless JPEG by the quicker decoder: to the last bit what the others make of it, or left to them."""

import numpy as np
import pytest
from imagecodecs import jpeg_encode
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate

from cxrnode.decoding import decoders
from cxrnode.decoding.pixels import read_radiograph
from cxrnode.errors import Refused, Unreadable
from tests.builders import chest_like, make_cxr
from tests.trips import read, sent


def lossless(bits: int, predictor: int, syntax: uid.UID = uid.JPEGLossless, *, allocated: int = 16) -> FileDataset:
    """A chest of so many bits, coded with one of the seven predictors (ISO/IEC 10918-1, Table H.1)."""
    pixels = chest_like(bits_stored=bits)
    stored = pixels.astype(np.uint8) if allocated == 8 else pixels
    coded = jpeg_encode(
        pixels.astype(np.uint8) if bits <= 8 else pixels, lossless=True, bitspersample=bits, predictor=predictor
    )
    instance = make_cxr(stored, bits_stored=bits, PixelData=encapsulate([coded]))
    instance["PixelData"].VR = "OB"
    instance.file_meta.TransferSyntaxUID = syntax
    return sent(instance)


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize(("bits", "allocated"), [(8, 8), (8, 16), (10, 16), (12, 16), (16, 16)])
def test_every_depth_and_predictor_is_read_as_the_raw_film(bits: int, allocated: int, predictor: int) -> None:
    pixels = chest_like(bits_stored=bits)
    raw = make_cxr(pixels.astype(np.uint8) if allocated == 8 else pixels, bits_stored=bits)

    np.testing.assert_array_equal(read_radiograph(lossless(bits, predictor, allocated=allocated)), read(raw))


@pytest.mark.parametrize("answer", [None, np.zeros((256, 240), dtype=np.uint32)], ids=["none", "of another kind"])
def test_where_the_quicker_decoder_has_no_answer_another_is_asked(
    answer: NDArray[np.uint32] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = lossless(12, 1, uid.JPEGLosslessSV1)
    expected = read_radiograph(film)
    monkeypatch.setattr(decoders, "_by_libjpeg_turbo", lambda _: answer)

    np.testing.assert_array_equal(read_radiograph(film), expected)


def test_rubbish_ends_in_a_sentence() -> None:
    film = lossless(12, 1)
    film.PixelData = encapsulate(
        [b"\xff\xd8\xff\xc3\x00\x0b\x0c\x01\x00\x00\xf0\x01\x01\x11\x00" + b"\0" * 40 + b"\xff\xd9"]
    )

    with pytest.raises((Refused, Unreadable), match="wanted"):
        read(film)
