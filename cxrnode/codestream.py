"""Whether a compressed frame is whole and as large as its header says: decoders pass partial images without a word."""

import struct

from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from cxrnode.errors import Unreadable

JPEG_2000 = frozenset(JPEG2000TransferSyntaxes)
JPEG = frozenset([*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes])
NOT_FRAME_HEADERS = (0xC4, 0xC8, 0xCC)
"""DHT, JPG and DAC lie among the SOF markers C0 to CF (ISO/IEC 10918-1, Table B.1)."""


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


def _jpeg_2000_size(frame: bytes) -> tuple[int, int, int]:
    """Rows, columns and components of the SIZ segment (ISO/IEC 15444-1, A.5.1)."""
    right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
    (components,) = struct.unpack_from(">H", frame, 40)
    return bottom - top, right - left, components


def _jpeg_size(frame: bytes) -> tuple[int, int, int]:
    """Rows, columns, components of the first frame header: SOF0 to SOF15 or JPEG-LS's SOF55 (ISO 10918-1, B.2.2)."""
    at = 2
    while True:
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte before a marker
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in NOT_FRAME_HEADERS):
            rows, columns, components = struct.unpack_from(">2HB", frame, at + 5)
            return rows, columns, components
        else:
            at += 2 + max(struct.unpack_from(">H", frame, at + 2)[0], 2)
