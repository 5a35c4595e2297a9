"""A DICOM instance becomes a float32 radiograph, air dark and bone bright, or a sentence that says why not."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGLSTransferSyntaxes

from cxrnode.codestream import check_whole
from cxrnode.errors import Refused, Unreadable
from cxrnode.greyscale import POLARITY, Stored, grey_table
from cxrnode.header import ODD, fault, named, text, unwarned, whole

Codes = NDArray[np.unsignedinteger[Any]]

SIDES = range(64, 10_001)
"""Pixels a side: below, no lung can be judged; above, no detector is that large and memory is at risk."""

LOSSY = frozenset(map(UID, ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81",
                            "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203")))  # fmt: skip

UNDECODABLE = (*ODD, RuntimeError, MemoryError)
"""What pydicom and its decoders raise on bytes that are no image."""

RUST_PANIC = "PanicException"
"""What pylibjpeg-rle raises besides: no Exception, and a class that cannot be imported."""


@dataclass(frozen=True)
class Layout:
    """How the pixels lie in Pixel Data (PS3.3 C.7.6.3, PS3.5 8.1.1)."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    low_bit: int
    signed: bool


def read_radiograph(dataset: Dataset) -> NDArray[np.float32]:
    """The radiograph of a single-frame greyscale instance, (rows, columns) float32 in [0, 1], air dark and bone bright.

    Raises Unreadable for absent, damaged or undecodable pixel data, Refused for an image that is well-formed but
    no single-frame greyscale one, describes itself impossibly, or is blank.
    """
    syntax = _syntax(dataset)
    if not dataset.get("PixelData"):
        raise Unreadable(f"{named('PixelData')} is absent, or the file breaks off within it; wanted a radiograph")
    layout = _layout(dataset, syntax)
    codes = _codes(dataset, layout, syntax)
    present = np.zeros(2**layout.bits_stored, dtype=np.bool_)
    present[codes] = True
    stored = Stored(layout.bits_stored, layout.signed, syntax.is_little_endian)
    radiograph: NDArray[np.float32] = grey_table(dataset, stored, present)[codes]
    return radiograph


def _syntax(dataset: Dataset) -> UID:
    """The Transfer Syntax, if there is a decoder for it."""
    syntax = UID(text(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID"))
    try:
        get_decoder(syntax)
    except NotImplementedError as error:
        raise Unreadable(fault("TransferSyntaxUID", syntax or None, "a transfer syntax that is known here")) from error
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


def _codes(dataset: Dataset, layout: Layout, syntax: UID) -> Codes:
    """The stored bits of every pixel, (rows, columns) unsigned below 2**bits_stored, unused bits cleared.

    Older objects keep overlays in the unused bits (PS3.5 8.1.2). A lossy decoder that overshoots is cut off at the top.
    """
    if syntax.is_encapsulated:
        _check_frame(dataset, layout, syntax)
    else:
        _check_length(dataset, layout)
    pixels = _decoded(dataset, syntax)
    if pixels.shape != (layout.rows, layout.columns):
        raise Unreadable(f"PixelData (7FE0,0010) decodes to {pixels.shape}; wanted {(layout.rows, layout.columns)}")
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    codes: Codes = native.view(np.uint8 if layout.bits_allocated == 8 else np.uint16)
    if layout.bits_stored == layout.bits_allocated:
        return codes
    highest = codes.dtype.type(2**layout.bits_stored - 1)
    if syntax in LOSSY and not layout.signed:
        return np.minimum(codes, highest)
    codes = codes >> codes.dtype.type(layout.low_bit)
    codes &= highest
    return codes


def _check_frame(dataset: Dataset, layout: Layout, syntax: UID) -> None:
    with unwarned():
        try:
            frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        except UNDECODABLE as error:
            raise Unreadable("PixelData (7FE0,0010) has no readable fragment; wanted one frame in fragments") from error
    check_whole(frame, syntax, layout.rows, layout.columns)


def _check_length(dataset: Dataset, layout: Layout) -> None:
    wanted = layout.rows * layout.columns * layout.bits_allocated // 8
    found = len(dataset.PixelData)
    if found < wanted:
        raise Unreadable(f"PixelData (7FE0,0010) breaks off after {found} bytes; wanted {wanted}")
    if found >= 2 * wanted:
        raise Refused(f"PixelData (7FE0,0010) holds {found} bytes, more than one frame; wanted {wanted}")


def _decoded(dataset: Dataset, syntax: UID) -> NDArray[np.integer]:
    """What the decoder makes of the frame, no colour or value changed, unused bits as they are where nothing is copied.

    JPEG-LS goes to the one decoder that notices a broken stream.
    """
    options: dict[str, Any] = {"view_only": True, "correct_unused_bits": False}
    if syntax in JPEGLSTransferSyntaxes:
        options["decoding_plugin"] = "pyjpegls"
    with unwarned():
        try:
            return get_decoder(syntax).as_array(dataset, index=0, raw=True, **options)[0]
        except BaseException as error:
            if not isinstance(error, UNDECODABLE) and type(error).__name__ != RUST_PANIC:
                raise
            raise Unreadable(
                f"PixelData (7FE0,0010) cannot be decoded as {syntax.name}; wanted one whole, undamaged frame"
            ) from error
