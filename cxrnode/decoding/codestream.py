"""Whether a compressed frame is whole and as large as its header says: decoders pass partial images without a word."""

import re
import struct

from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from cxrnode.errors import Unreadable

JPEG_2000 = frozenset(JPEG2000TransferSyntaxes)
JPEG = frozenset([*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes])
NOT_FRAME_HEADERS = (0xC4, 0xC8, 0xCC)
"""DHT, JPG and DAC lie among the SOF markers C0 to CF (ISO/IEC 10918-1, Table B.1)."""
BASELINE, EXTENDED, LOSSLESS, EOI, SOS, DRI = 0xC0, 0xC1, 0xC3, 0xD9, 0xDA, 0xDD
SOT = b"\xff\x90"
EXCESS = bytes.fromhex("a53c965a") * 8
"""Bits of no meaning, no marker among them."""


def check_whole(frame: bytes, syntax: UID, rows: int, columns: int) -> None:
    """Raise Unreadable unless `frame` begins, ends and measures as a complete JPEG, JPEG-LS or JPEG 2000 frame.

    Other syntaxes pass: RLE's decoder counts for itself. Bytes changed in place are nobody's to notice:
    none of these formats carries a checksum.
    """
    if syntax not in JPEG | JPEG_2000:
        return
    start, end = (b"\xff\x4f\xff\x51", "EOC") if syntax in JPEG_2000 else (b"\xff\xd8", "EOI")
    if not frame.startswith(start):
        raise Unreadable(
            f"PixelData (7FE0,0010) begins with {frame[:4].hex() or 'nothing'}; wanted {start.hex()} of {syntax.name}"
        )
    if not frame[-64:].rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise Unreadable(
            f"PixelData (7FE0,0010) breaks off after {len(frame)} bytes; wanted {syntax.name} up to its {end} (FFD9)"
        )
    try:
        *size, components = _jpeg_2000_size(frame) if syntax in JPEG_2000 else _jpeg_size(frame)
    except (struct.error, IndexError) as error:
        raise Unreadable(f"PixelData (7FE0,0010) has no frame header; wanted {syntax.name}") from error
    if components != 1:
        raise Unreadable(f"PixelData (7FE0,0010) holds {components} components; wanted 1, of a greyscale image")
    if size != [rows, columns]:
        raise Unreadable(
            f"PixelData (7FE0,0010) holds {size[0]} rows of {size[1]} px; "
            f"wanted {rows} of {columns} px as Rows (0028,0010) and Columns (0028,0011) say"
        )
    _check_parts(frame, syntax)


def signed(frame: bytes) -> bool:
    """Whether a JPEG 2000 stream's one component has negative values (Ssiz: ISO/IEC 15444-1, A.5.1)."""
    return bool(frame[42] >> 7)


def with_excess(frame: bytes) -> bytes:
    """A JPEG frame with bits beyond the last before each restart marker and the end: whole, it decodes to the same.

    Decoders discard what a scan has too much, and make up what it lacks: what it lacks they then take from these.
    Raises struct.error, IndexError for a frame whose segments lead beyond it.
    """
    segments, end = _jpeg_segments(frame), frame.rindex(b"\xff\xd9")
    at = segments.get(SOS, end) if DRI in segments else end
    scan = re.sub(rb"\xff[\xd0-\xd7]", lambda marker: EXCESS + marker[0], frame[at:end])
    return b"".join((frame[:at], scan, EXCESS, frame[end:]))


def precision(frame: bytes, syntax: UID) -> int:
    """Of how many bits the frame says its values are; 0 where its syntax does not let it say so.

    Raises struct.error, IndexError for a frame that `check_whole` would not pass.
    """
    if syntax in JPEG_2000:
        return (frame[42] & 0x7F) + 1
    return frame[_frame_header(frame) + 4] if syntax in JPEG else 0


def _check_parts(frame: bytes, syntax: UID) -> None:
    """Raise Unreadable for a frame that lacks tiles, or intervals between restart markers: decoders leave them blank.

    What cannot be counted passes: the decoder has the last word.
    """
    try:
        found, wanted, what = _tile_parts(frame) if syntax in JPEG_2000 else _restarts(frame)
    except (struct.error, LookupError, ArithmeticError):
        return
    if found != wanted:
        raise Unreadable(f"PixelData (7FE0,0010) holds {found} {what}; wanted {wanted}, as its header says")


def _tile_parts(frame: bytes) -> tuple[int, int, str]:
    """How many whole tiles there are and are to be, by the tile-parts' headers (ISO/IEC 15444-1, A.4.2, B.3)."""
    right, bottom, _, _, across, down, left, top = struct.unpack_from(">8I", frame, 8)
    at = 2
    while frame[at : at + 2] != SOT:
        at += 2 + max(struct.unpack_from(">H", frame, at + 2)[0], 2)
    parts: dict[int, int] = {}
    told: dict[int, int] = {}
    while frame[at : at + 2] == SOT:
        tile, length, _, count = struct.unpack_from(">HIBB", frame, at + 4)
        parts[tile] = parts.get(tile, 0) + 1
        told[tile] = max(count, told.get(tile, 0))  # 0: this part does not say how many there are
        at += length or len(frame)  # 0: the last, it reaches to the end
    wanted = -(-(right - left) // across) * -(-(bottom - top) // down)
    return sum(parts[tile] >= told[tile] for tile in parts), wanted, "whole tiles"


def _restarts(frame: bytes) -> tuple[int, int, str]:
    """How many restart markers there are in their order, and are to be (ISO/IEC 10918-1, B.2.4.4, E.1.4)."""
    segments = _jpeg_segments(frame)
    kind = [one for one in segments if one in (BASELINE, EXTENDED, LOSSLESS)][0]  # noqa: RUF015  none is an IndexError
    rows, columns = struct.unpack_from(">2H", frame, segments[kind] + 5)
    interval = struct.unpack_from(">H", frame, segments[DRI] + 4)[0]
    side = 1 if kind == LOSSLESS else 8  # of what one component is coded in, one after another
    markers = re.findall(rb"\xff([\xd0-\xd7])", frame[segments[SOS] :])
    in_order = sum(marker[0] == 0xD0 + number % 8 for number, marker in enumerate(markers))
    units = -(-rows // side) * -(-columns // side)
    return in_order, -(-units // interval) - 1 if interval else 0, "restart markers in their order"


def _jpeg_2000_size(frame: bytes) -> tuple[int, int, int]:
    """Rows, columns and components of the SIZ segment (ISO/IEC 15444-1, A.5.1)."""
    right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
    (components,) = struct.unpack_from(">H", frame, 40)
    return bottom - top, right - left, components


def _jpeg_size(frame: bytes) -> tuple[int, int, int]:
    """Rows, columns, components of the first frame header: SOF0 to SOF15 or JPEG-LS's SOF55 (ISO 10918-1, B.2.2)."""
    rows, columns, components = struct.unpack_from(">2HB", frame, _frame_header(frame) + 5)
    return rows, columns, components


def _frame_header(frame: bytes) -> int:
    """Where a JPEG's first frame header begins."""
    for marker, at in _jpeg_segments(frame).items():
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in NOT_FRAME_HEADERS):
            return at
    raise IndexError


def _jpeg_segments(frame: bytes) -> dict[int, int]:
    """Where the markers up to the first scan's or the end's are, by their second byte, of several alike the last."""
    found, at = {}, 2
    while SOS not in found:
        marker = frame[at + 1]
        if marker == EOI:
            break
        if marker == 0xFF:  # a fill byte before a marker
            at += 1
            continue
        found[marker] = at
        at += 2 + max(struct.unpack_from(">H", frame, at + 2)[0], 2)
    return found
