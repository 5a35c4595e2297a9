"""JPEG 2000 at a half, a quarter or an eighth of its size: resolutions finer than what is looked at are not decoded.

A codestream holds the image at every power of two (ISO/IEC 15444-1, B.5), the finest last and by far the dearest.
"""

import struct
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrnode.headers.header import ODD, unwarned
from cxrnode.radiograph import Halved, Wavelet

SIZ, COD, COC, SOT, SOD, EOC = 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9
"""Markers of ISO/IEC 15444-1, Table A.2."""
WAVELETS: dict[int, Wavelet] = {0: "9/7", 1: "5/3"}
"""Table A.20."""

Codes = NDArray[np.uint16]


@dataclass(frozen=True)
class Stream:
    """What a codestream says of its one component: its size, `levels` of halving, and how its values lie."""

    rows: int
    columns: int
    tile_rows: int
    tile_columns: int
    levels: int
    wavelet: Wavelet
    bits: int
    signed: bool

    def halves(self, times: int) -> bool:
        """Whether it can be had at so small a size, its pixels 0, 2**times, 2 * 2**times ... of the whole.

        Pillow rounds the smaller size, where the standard rounds up (B-15): it fails where they differ.
        """
        step = 2**times
        return (
            times <= self.levels
            and all((side + step // 2) // step == -(-side // step) for side in (self.rows, self.columns))
            and (self.tile_rows >= self.rows or self.tile_rows % step == 0)
            and (self.tile_columns >= self.columns or self.tile_columns % step == 0)
        )


def reduced(frame: bytes, times: int, *, bits: int, signed: bool) -> tuple[Codes, Halved] | None:
    """The codes of an image halved so many times, or fewer where it cannot be, and how often it was.

    (ceil(rows / 2**n), ceil(columns / 2**n)) below 2**bits, two's complement where `signed`. None where nothing is to
    be had that is sure to be the whole image's: that must then be decoded, and has the last word on what is broken.
    """
    try:
        stream = _stream(frame)
    except (struct.error, IndexError):
        return None
    if stream is None or (stream.bits, stream.signed) != (bits, signed):
        return None
    fitting = next((n for n in range(times, 0, -1) if stream.halves(n)), 0)
    if not fitting:
        return None
    with unwarned():
        try:
            with Image.open(BytesIO(frame), formats=["JPEG2000"]) as image:
                image.reduce = fitting  # type: ignore[method-assign,assignment]  # so Pillow names it for this format
                pixels = np.asarray(image)
        except (*ODD, SyntaxError, MemoryError):
            return None
    if pixels.shape != (-(-stream.rows // 2**fitting), -(-stream.columns // 2**fitting)):
        return None
    return _as_stored(pixels, stream), Halved(fitting, stream.wavelet)


def _as_stored(pixels: NDArray[np.unsignedinteger], stream: Stream) -> Codes:
    """Pillow shifts values up to 8 or 16 bits, and signed ones to where 0 is the least."""
    codes = pixels.astype(np.uint16) >> np.uint16(pixels.dtype.itemsize * 8 - stream.bits)
    return codes ^ np.uint16(2 ** (stream.bits - 1)) if stream.signed else codes


def _stream(frame: bytes) -> Stream | None:
    """From the main header; None where sizes or levels are not one for all, or the tile-parts are not all there.

    A whole frame's lengths lead from tile-part to tile-part to its end (A.4.2); one without its length could be short.
    """
    right, bottom, left, top, across, down, from_left, from_top = struct.unpack_from(">8I", frame, 8)
    depth, step_x, step_y = struct.unpack_from(">3B", frame, 42)
    levels, wavelet, at = 0, None, 2
    while (marker := _marker(frame, at)) != SOT:
        if marker == COC:
            return None
        if marker == COD:
            levels, wavelet = frame[at + 9], WAVELETS.get(frame[at + 13])
        at += 2 + max(_marker(frame, at + 2), 2)
    while _marker(frame, at) == SOT:
        (length,) = struct.unpack_from(">I", frame, at + 6)
        if length < 14 or not _plain_part(frame, at + 12):
            return None
        at += length
    if wavelet is None or any((left, top, from_left, from_top)) or (step_x, step_y) != (1, 1):
        return None
    if _marker(frame, at) != EOC:
        return None
    return Stream(bottom, right, down, across, levels, wavelet, (depth & 0x7F) + 1, bool(depth >> 7))


def _plain_part(frame: bytes, at: int) -> bool:
    """Whether a tile-part's header changes nothing of the main header's."""
    while (marker := _marker(frame, at)) != SOD:
        if marker in (COD, COC):
            return False
        at += 2 + max(_marker(frame, at + 2), 2)
    return True


def _marker(frame: bytes, at: int) -> int:
    """Two bytes as a number: a marker, or a length."""
    value: int = struct.unpack_from(">H", frame, at)[0]
    return value
