"""A frame that lacks a part of the image is unreadable, never read with that part made up by the decoder."""

import io
import struct

import numpy as np
import openjpeg
import pytest
from imagecodecs import htj2k_encode, jpeg_encode, jpegls_encode
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate

from cxrnode.decoding.pixels import read_at_least, read_radiograph
from cxrnode.errors import Refused, Unreadable
from tests.builders import chest_like, make_cxr
from tests.trips import sent

TWELVE = chest_like(bits_stored=12)
EIGHT = (TWELVE >> 4).astype(np.uint8)
END = b"\xff\xd9"


def framed(frame: bytes, pixels: NDArray[np.integer], syntax: uid.UID) -> FileDataset:
    """The film with a frame that somebody else wrote."""
    bits = 8 if pixels.dtype == np.uint8 else 12
    instance = make_cxr(pixels, bits_stored=bits, PixelData=encapsulate([frame]))
    instance["PixelData"].VR = "OB"
    instance.file_meta.TransferSyntaxUID = syntax
    return sent(instance)


def with_restarts() -> bytes:
    """Every second row of blocks begins anew."""
    buffer = io.BytesIO()
    Image.fromarray(EIGHT).save(buffer, "JPEG", quality=90, restart_marker_rows=2)
    return buffer.getvalue()


FRAMES: dict[str, tuple[bytes, NDArray[np.integer], uid.UID]] = {
    "lossless": (jpeg_encode(TWELVE, lossless=True, bitspersample=12, predictor=1), TWELVE, uid.JPEGLosslessSV1),
    "lossless of 8 bits": (jpeg_encode(EIGHT, lossless=True, bitspersample=8, predictor=7), EIGHT, uid.JPEGLossless),
    "baseline": (jpeg_encode(EIGHT, level=90), EIGHT, uid.JPEGBaseline8Bit),
    "extended": (jpeg_encode(TWELVE, level=90, bitspersample=12), TWELVE, uid.JPEGExtended12Bit),
    "baseline with restart markers": (with_restarts(), EIGHT, uid.JPEGBaseline8Bit),
}


@pytest.mark.parametrize(("frame", "pixels", "syntax"), FRAMES.values(), ids=FRAMES.keys())
def test_a_whole_jpeg_is_read(frame: bytes, pixels: NDArray[np.integer], syntax: uid.UID) -> None:
    read = read_radiograph(framed(frame, pixels, syntax))

    assert np.abs(read - pixels / (2 ** (8 * pixels.itemsize) - 1 if pixels.itemsize == 1 else 4095)).mean() < 0.02


@pytest.mark.parametrize(("first", "last"), [(0.5, 1), (0.9, 1), (0.99, 1), (0.3, 0.5), (0.8, 0.9), (0.5, 0.52)])
@pytest.mark.parametrize(("frame", "pixels", "syntax"), FRAMES.values(), ids=FRAMES.keys())
def test_a_jpeg_that_lacks_bytes_and_still_has_its_end_is_unreadable(
    frame: bytes, pixels: NDArray[np.integer], syntax: uid.UID, first: float, last: float
) -> None:
    """Red where a decoder's word is taken for it: it fills up what is missing, in greys that nobody sent."""
    cut = frame[: int(first * len(frame))] + frame[int(last * len(frame)) : -2] + END

    with pytest.raises(Unreadable, match="wanted"):
        read_radiograph(framed(cut, pixels, syntax))


def test_a_jpeg_that_lacks_an_interval_between_restart_markers_is_unreadable() -> None:
    frame, pixels, syntax = FRAMES["baseline with restart markers"]
    third, fourth = (frame.index(bytes([0xFF, marker]), 600) for marker in (0xD3, 0xD4))

    with pytest.raises(Unreadable, match="holds 3 restart markers in their order; wanted 15"):
        read_radiograph(framed(frame[:third] + frame[fourth:], pixels, syntax))


def test_a_jpeg_whose_interval_breaks_off_before_its_restart_marker_is_unreadable() -> None:
    frame, pixels, syntax = FRAMES["baseline with restart markers"]
    fourth = frame.index(b"\xff\xd4", 600)

    with pytest.raises(Unreadable, match="breaks off within its scan"):
        read_radiograph(framed(frame[: fourth - 40] + frame[fourth:], pixels, syntax))


def tiled() -> tuple[bytes, list[bytes]]:
    """A JPEG 2000 stream of sixteen tiles: its main header, and their tile-parts."""
    buffer = io.BytesIO()
    Image.fromarray(np.pad(EIGHT, ((0, 0), (0, 16)))).save(buffer, "JPEG2000", no_jp2=True, tile_size=(64, 64))
    frame = buffer.getvalue()
    at = begin = frame.index(b"\xff\x90\x00\x0a")
    parts = []
    while frame[at : at + 2] == b"\xff\x90":
        (length,) = struct.unpack_from(">I", frame, at + 6)
        parts.append(frame[at : at + length])
        at += length
    return frame[:begin], parts


@pytest.mark.parametrize("side", [None, 64], ids=["whole", "reduced"])
@pytest.mark.parametrize("missing", [0, 6, 15])
def test_jpeg_2000_that_lacks_a_tile_is_unreadable(missing: int, side: int | None) -> None:
    """Red where OpenJPEG's word is taken for it: it leaves the tile black."""
    head, parts = tiled()
    pixels = np.pad(EIGHT, ((0, 0), (0, 16)))
    whole = framed(head + b"".join(parts) + END, pixels, uid.JPEG2000Lossless)
    del parts[missing]
    cut = framed(head + b"".join(parts) + END, pixels, uid.JPEG2000Lossless)

    assert read_at_least(whole, side).shape == (256, 256)
    with pytest.raises(Unreadable, match="holds 15 whole tiles; wanted 16, as its header says"):
        read_at_least(cut, side)


def test_jpeg_2000_that_lacks_one_of_a_tile_s_parts_is_unreadable() -> None:
    head, parts = tiled()
    parts[3] = parts[3][:11] + b"\x02" + parts[3][12:]  # TNsot: there are two of it

    with pytest.raises(Unreadable, match="holds 15 whole tiles"):
        read_radiograph(framed(head + b"".join(parts) + END, np.pad(EIGHT, ((0, 0), (0, 16))), uid.JPEG2000Lossless))


FINER = {
    uid.JPEG2000Lossless: bytes(openjpeg.encode(TWELVE, bits_stored=12, use_mct=False)),
    uid.HTJ2KLossless: htj2k_encode(TWELVE),
    uid.JPEGLSLossless: jpegls_encode(TWELVE),
    uid.JPEGLosslessSV1: FRAMES["lossless"][0],
    uid.JPEGExtended12Bit: FRAMES["extended"][0],
}


@pytest.mark.parametrize("syntax", FINER, ids=lambda syntax: syntax.name)
def test_a_frame_of_more_bits_than_are_allocated_is_unreadable(syntax: uid.UID) -> None:
    """Red where decoders are let: some give the lower eight bits, and the film has contours like a map."""
    with pytest.raises(
        Unreadable, match=r"holds values of 1[26] bits; wanted at most 8 as BitsAllocated \(0028,0100\)"
    ):
        read_radiograph(framed(FINER[syntax], EIGHT, syntax))


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLosslessSV1])
def test_a_frame_of_more_bits_than_are_stored_is_refused_where_it_uses_them(syntax: uid.UID) -> None:
    film = framed(FINER[syntax], TWELVE, syntax)
    film.BitsStored, film.HighBit = 10, 9

    with pytest.raises(
        Refused, match=r"BitsStored \(0028,0101\) is 10; wanted the 12 of the frame, which has values to"
    ):
        read_radiograph(film)
    film.BitsStored, film.HighBit = 12, 11
    assert read_radiograph(film).shape == TWELVE.shape


HEADS = {
    "tiles of no size": (24, b"\0" * 8),
    "tiles that begin beyond the image": (32, b"\xff" * 8),
    "values of 38 bits": (42, b"\x25"),
    "a first marker that has no end": (49, b"\xff\x52\xff\xff"),
}


@pytest.mark.parametrize(("at", "wrong"), HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize("side", [None, 64], ids=["whole", "reduced"])
def test_jpeg_2000_with_a_head_that_cannot_be_is_unreadable(at: int, wrong: bytes, side: int | None) -> None:
    head, parts = tiled()
    head = head[:at] + wrong + head[at + len(wrong) :]

    with pytest.raises(Unreadable, match="wanted"):
        read_at_least(
            framed(head + b"".join(parts) + END, np.pad(EIGHT, ((0, 0), (0, 16))), uid.JPEG2000Lossless), side
        )
