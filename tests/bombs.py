"""Few bytes that a trusting parser makes much of, to stand at the end of a data set in Explicit VR Little Endian."""

import struct
import zlib

UNDEFINED = 2**32 - 1


def nested(depth: int) -> bytes:
    """Sequences of undefined length within one another."""
    sequence = struct.pack("<HH2sHL", 0xFFFC, 0xFFFC, b"SQ", 0, UNDEFINED)
    ends = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return (sequence + struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)) * depth + ends * depth


def nested_by_length(depth: int) -> bytes:
    """Sequences within one another, each with its true length."""
    content = b""
    for _ in range(depth):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content
        content = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, len(item)) + item
    return content


def wide(count: int) -> bytes:
    """A sequence of undefined length with so many empty items."""
    items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * count
    return struct.pack("<HH2sHL", 0xFFFC, 0xFFFC, b"SQ", 0, UNDEFINED) + items + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def many(count: int) -> bytes:
    """So many empty private elements, in order."""
    tags = (divmod(number, 2**15) for number in range(count))
    return b"".join(struct.pack("<HH2sH", 0xFFD1 + 2 * group, 0x0100 + at, b"LO", 0) for group, at in tags)


def deflated(content: bytes, megabytes: int) -> bytes:
    """A data set deflated, with so many megabytes of zeros in an element behind it."""
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    squeezed = squeeze.compress(content + struct.pack("<HH2sHL", 0xFFFC, 0xFFFC, b"OB", 0, megabytes * 2**20))
    squeezed += b"".join(squeeze.compress(bytes(2**20)) for _ in range(megabytes)) + squeeze.flush()
    return squeezed + b"\0" * (len(squeezed) % 2)
