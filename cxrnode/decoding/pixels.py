"""A DICOM instance becomes a float32 radiograph, air dark and bone bright, or a sentence that says why not."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import UID

from cxrnode.decoding.codestream import JPEG_2000, check_whole, precision, signed
from cxrnode.decoding.decoders import UNDECODABLE, decoded, describes, known
from cxrnode.decoding.greyscale import POLARITY, Mask, Stored, grey_table, padded, spans_its_pixels
from cxrnode.decoding.reduced import reduced
from cxrnode.errors import Refused, Unreadable
from cxrnode.finding import Algorithm
from cxrnode.headers.header import ODD, fault, named, text, unwarned, whole
from cxrnode.radiograph import Greys, Radiograph
from cxrnode.settings import Settings

cv2.setNumThreads(1)  # a worker's processes share the cores out among themselves

Words = NDArray[np.unsignedinteger[Any]]
Codes = NDArray[np.uint16]

SIDES = range(64, 10_001)
"""Pixels a side: below, no lung can be judged; above, no detector is that large and memory is at risk."""

PART = 8
"""of so many rows one is looked at first"""

LOSSY = frozenset(map(UID, ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81",
                            "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203")))  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """How the pixels lie in Pixel Data (PS3.3 C.7.6.3, PS3.5 8.1.1)."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    low_bit: int
    signed: bool


def read_radiograph(dataset: Dataset) -> Greys:
    """The radiograph of a single-frame greyscale instance, (rows, columns) float32 in [0, 1], air dark and bone bright.

    Raises Unreadable for absent, damaged or undecodable pixel data, Refused for an image that is well-formed but
    no single-frame greyscale one, describes itself impossibly, or is blank.
    """
    syntax, layout = _described(dataset)
    frame = _frame(dataset, layout, syntax) if syntax.is_encapsulated else b""
    words = _words(dataset, layout, syntax, frame)
    meant = _meant(layout, syntax, extended=syntax in JPEG_2000 and signed(frame))
    stored = _stored(layout, syntax)
    if not syntax.is_encapsulated and not spans_its_pixels(dataset, stored.bits):
        with suppress(Refused):  # a part of the rows is enough to tell that there is something to be seen
            return _looked_up(words, grey_table(dataset, stored, _present(layout, meant, _seen(words[::PART])))[meant])
    seen = _seen(words)
    _check_range(layout, syntax, frame, seen)
    return _looked_up(words, grey_table(dataset, stored, _present(layout, meant, seen))[meant])


def _present(layout: Layout, meant: Codes, seen: Mask) -> Mask:
    """Which codes occur, (2**bits_stored,), where these words do."""
    present = np.zeros(2**layout.bits_stored, dtype=np.bool_)
    present[meant[seen]] = True
    return present


def side_wanted(algorithm: Algorithm, settings: Settings) -> int | None:
    """How many pixels the shorter side of a film must have that is not decoded whole; None: as many as it has.

    A network's input twice over keeps the probability within 1e-3. The picture in an overlay takes two thirds of its
    longest side across, banners not.
    """
    match settings.pixels.jpeg_2000:
        case "film":
            return None
        case "overlay":
            return max(2 * algorithm.side, settings.results.overlay_longest_side * 2 // 3)
        case "model":
            return 2 * algorithm.side


def read_at_least(dataset: Dataset, side: int | None) -> Radiograph:
    """The same, halved as often as leaves its shorter side `side` pixels where that spares decoding: of JPEG 2000.

    None halves nothing. Raises what `read_radiograph` raises.
    """
    syntax, layout = _described(dataset)
    times = max(0, (min(layout.rows, layout.columns) // side).bit_length() - 1) if side else 0
    smaller = _reduced(dataset, layout, syntax, times) if times and syntax in JPEG_2000 else None
    return smaller or Radiograph.of(read_radiograph(dataset))


def _described(dataset: Dataset) -> tuple[UID, Layout]:
    syntax = _syntax(dataset)
    if not _has_pixels(dataset):
        raise Unreadable(f"{named('PixelData')} is absent, or the file breaks off within it; wanted a radiograph")
    return syntax, _layout(dataset, syntax)


def _has_pixels(dataset: Dataset) -> bool:
    """Whether there are any bytes for pixels. Raises Unreadable for a VR that holds none (PS3.5 8.2: OB or OW)."""
    try:
        value = dataset.get("PixelData")
    except ODD as error:
        raise Unreadable(
            f"{named('PixelData')} cannot be read as its VR says; wanted a radiograph, as OB or OW"
        ) from error
    if value is not None and not isinstance(value, bytes):
        raise Unreadable(f"{named('PixelData')} holds no bytes; wanted a radiograph, as OB or OW")
    return bool(value)


def _stored(layout: Layout, syntax: UID) -> Stored:
    return Stored(layout.bits_stored, layout.signed, syntax.is_little_endian)


def _reduced(dataset: Dataset, layout: Layout, syntax: UID, times: int) -> Radiograph | None:
    """Decoded no finer than wanted; None where only the whole image tells its greys, or what is wrong with it.

    Greys that span the pixels' range depend on every pixel, and padding may have bled into its neighbours.
    """
    frame, stored = _frame(dataset, layout, syntax), _stored(layout, syntax)
    try:
        if spans_its_pixels(dataset, stored.bits) or not describes(dataset, syntax):
            return None
        found = reduced(frame, times, bits=stored.bits, signed=stored.signed)
        if found is None:
            return None
        codes, halved = found
        present = _seen(codes)[: 2**stored.bits]
        if (present & padded(dataset, stored)).any():
            return None
        greys = _looked_up(codes, grey_table(dataset, stored, present))
    except Refused:
        return None
    return Radiograph(greys, layout.rows, layout.columns, halved)


def _syntax(dataset: Dataset) -> UID:
    """The Transfer Syntax, if there is a decoder for it."""
    syntax = UID(text(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID"))
    if not known(syntax):
        raise Unreadable(fault("TransferSyntaxUID", syntax or None, "a transfer syntax that is known here"))
    return syntax


def _layout(dataset: Dataset, syntax: UID) -> Layout:
    """The layout that the header describes; Refused when it is not that of one greyscale frame, or cannot be."""
    photometric = text(dataset, "PhotometricInterpretation")
    if photometric not in POLARITY:
        raise Refused(fault("PhotometricInterpretation", photometric or None, " or ".join(POLARITY)))
    whole(dataset, "SamplesPerPixel", range(1, 2))
    whole(dataset, "NumberOfFrames", range(1, 2), default=1)
    whole(dataset, "PlanarConfiguration", range(1), default=0)
    bits_allocated = whole(dataset, "BitsAllocated", range(8, 17, 8))
    bits_stored = whole(dataset, "BitsStored", range(2, bits_allocated + 1))
    highest_bit = bits_stored if syntax.is_encapsulated else bits_allocated
    high_bit = whole(dataset, "HighBit", range(bits_stored - 1, highest_bit), default=bits_stored - 1)
    return Layout(
        rows=whole(dataset, "Rows", SIDES),
        columns=whole(dataset, "Columns", SIDES),
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        low_bit=high_bit + 1 - bits_stored,
        signed=whole(dataset, "PixelRepresentation", range(2)) == 1,
    )


def _words(dataset: Dataset, layout: Layout, syntax: UID, frame: bytes) -> Words:
    """Every pixel's word as it is stored, (rows, columns) of 8 or 16 bits, unused bits as they come."""
    if not syntax.is_encapsulated:
        _check_length(dataset, layout)
    pixels = decoded(dataset, frame, syntax, bits_allocated=layout.bits_allocated)
    if pixels.shape != (layout.rows, layout.columns):
        raise Unreadable(f"PixelData (7FE0,0010) decodes to {pixels.shape}; wanted {(layout.rows, layout.columns)}")
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return native.view(np.uint8 if layout.bits_allocated == 8 else np.uint16)


def _check_range(layout: Layout, syntax: UID, frame: bytes, seen: Mask) -> None:
    """Raise Refused for a compressed image of more bits than Bits Stored says: the lower ones alone are no picture.

    A stream of as many bits as are allocated may have an overlay in those that are not stored.
    """
    bits = precision(frame, syntax)
    told = layout.bits_stored < bits < layout.bits_allocated and not layout.signed and syntax not in LOSSY
    if told and seen[2**layout.bits_stored :].any():
        highest = int(np.flatnonzero(seen)[-1])
        raise Refused(
            fault("BitsStored", layout.bits_stored, f"the {bits} of the frame, which has values to {highest}")
        )


def _seen(words: Words) -> Mask:
    """Which words occur, (256,) or (65536,)."""
    every = 2 ** (words.dtype.itemsize * 8)
    counts: Mask = cv2.calcHist([words], [0], None, [every], [0, every]).ravel() > 0
    return counts


def _looked_up(words: Words, table: Greys) -> Greys:
    """What the table has for every word; words beyond its end do not occur."""
    whole = np.zeros(2 ** (words.dtype.itemsize * 8), dtype=np.float32)
    whole[: len(table)] = table
    return np.asarray(cv2.LUT(words, whole), dtype=np.float32)


def _meant(layout: Layout, syntax: UID, *, extended: bool) -> Codes:
    """The stored bits of every word, (2**bits_allocated,) below 2**bits_stored.

    Older objects keep overlays in the unused bits (PS3.5 8.1.2). A lossy decoder that overshoots is cut off at the top,
    and at the bottom where it gives numbers with their sign `extended` over the whole word.
    """
    words, highest = np.arange(2**layout.bits_allocated, dtype=np.uint16), np.uint16(2**layout.bits_stored - 1)
    if syntax in LOSSY and not layout.signed:
        return np.minimum(words, highest)
    if syntax in LOSSY and extended:
        size, beyond = layout.bits_allocated // 8, 2 ** (layout.bits_stored - 1)
        values = words.astype(f"u{size}").view(f"i{size}").astype(np.int16).clip(-beyond, beyond - 1)
        return values.view(np.uint16) & highest
    words >>= np.uint16(layout.low_bit)
    words &= highest
    return words


def _frame(dataset: Dataset, layout: Layout, syntax: UID) -> bytes:
    """The one compressed frame, which is as whole and as large as it says."""
    with unwarned():
        try:
            frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        except UNDECODABLE as error:
            raise Unreadable("PixelData (7FE0,0010) has no readable fragment; wanted one frame in fragments") from error
    check_whole(frame, syntax, layout.rows, layout.columns)
    if (bits := precision(frame, syntax)) > layout.bits_allocated:
        raise Unreadable(
            f"PixelData (7FE0,0010) holds values of {bits} bits; "
            f"wanted at most {layout.bits_allocated} as {named('BitsAllocated')} says"
        )
    return frame


def _check_length(dataset: Dataset, layout: Layout) -> None:
    wanted = layout.rows * layout.columns * layout.bits_allocated // 8
    found = len(dataset.PixelData)
    if found < wanted:
        raise Unreadable(f"PixelData (7FE0,0010) breaks off after {found} bytes; wanted {wanted}")
    if found >= 2 * wanted:
        raise Refused(f"PixelData (7FE0,0010) holds {found} bytes, more than one frame; wanted {wanted}")
