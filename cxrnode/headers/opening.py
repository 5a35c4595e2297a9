"""A PS3.10 file is measured before anything is made of it: how large, how far it inflates, how deep and how wide it is.

A parser makes kilobytes of objects out of eight bytes, and one packet inflates a thousandfold: what is measured here is
bytes and lengths alone, so that a file cannot take more memory than a few times the limits below.
"""

import io
import mmap
import struct
import threading
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, cast

import pydicom
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from cxrnode.errors import Unreadable
from cxrnode.headers.header import unwarned

Content = bytes | mmap.mmap

MOST_BYTES = 2**30
MOST_INFLATED = 2**28
"""Bytes: a detector of 10,001 x 10,001 pixels of 16 bits, and a header."""
MOST_ELEMENTS = 2**18
"""Elements and items together; a radiograph has some hundreds, a multi-frame MR of two thousand slices 200,000."""
INFLATING = threading.RLock()
"""Held by whoever has an inflated data set in memory: a third of a megabyte makes half a gigabyte of it."""
DEEPEST = 32
"""Sequences within one another; the standard's own reach ten."""

LONGEST_WANTED = 128
DATA_SET_AT = 132
UNDEFINED = 0xFFFFFFFF
ITEM, DELIMITERS = 0xFFFEE000, (0xFFFEE00D, 0xFFFEE0DD)
TRANSFER_SYNTAX = 0x00020010
LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
"""VRs with a length of four bytes (PS3.5 7.1.2)."""


def parsed(source: Path | bytes, *, pixels: bool = True, keywords: Sequence[str] | None = None) -> FileDataset:
    """The data set of a PS3.10 file, from its path or its bytes; without Pixel Data, or of some attributes alone.

    Raises Unreadable for what is larger, deeper or wider than the limits of this room, or is no DICOM.
    """
    with opened(source) as content, _alone(data_set_at(content)[0]):
        measure(content)
        stream = io.BytesIO(content) if isinstance(content, bytes) else content
        try:
            with unwarned():
                return pydicom.dcmread(
                    cast(BinaryIO, stream),
                    stop_before_pixels=not pixels,
                    specific_tags=None if keywords is None else list(keywords),
                )
        except Exception as error:  # a parser of bytes that a stranger sent raises whatever there is to raise
            raise _unparsable(error) from error


def measure(content: Content, wanted: Collection[int] = ()) -> dict[int, bytes] | None:
    """Raise Unreadable for a PS3.10 file that is larger, inflates further, or is deeper or wider than the limits.

    The wanted tags with their values at its top level, the beginnings of long ones, as bytes; None where nothing ends
    where the file does, so that `parsed` has to say what is wrong with it.
    """
    if len(content) > MOST_BYTES:
        raise Unreadable(f"The file holds {len(content)} bytes; wanted {MOST_BYTES} at the most")
    if content[128:DATA_SET_AT] != b"DICM":
        return None
    syntax, at = data_set_at(content)
    found: dict[int, bytes] = dict.fromkeys(wanted, b"")
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    with _alone(syntax):
        data_set, at = (_inflated(content[at:]), 0) if syntax == DeflatedExplicitVRLittleEndian else (content, at)
        whole = _walk(data_set, at, found, implicit=syntax == ImplicitVRLittleEndian, order=order)
        del data_set
    return found if whole else None


@contextmanager
def opened(source: Path | bytes) -> Iterator[Content]:
    """The bytes of a file, mapped; or these. Raises Unreadable."""
    if isinstance(source, bytes):
        yield source
        return
    try:
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped
    except (OSError, ValueError) as error:  # ValueError: a file of no bytes cannot be mapped
        raise _unparsable(error) from error


def _alone(syntax: str) -> AbstractContextManager[object]:
    """Wait until nobody else has an inflated data set, where this one is deflated."""
    return INFLATING if syntax == DeflatedExplicitVRLittleEndian else nullcontext()


def _unparsable(error: Exception) -> Unreadable:
    return Unreadable(f"The file cannot be parsed as DICOM ({type(error).__name__}); wanted a PS3.10 file.")


def _inflated(deflated: bytes) -> bytes:
    squeezed = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = squeezed.decompress(deflated, MOST_INFLATED)
    except zlib.error as error:
        raise _unparsable(error) from error
    if squeezed.unconsumed_tail:
        raise Unreadable(
            f"The data set inflates from {len(deflated)} to more than {MOST_INFLATED} bytes; wanted that at the most"
        )
    return inflated


def data_set_at(content: Content) -> tuple[str, int]:
    """The Transfer Syntax of a PS3.10 file, empty when it does not tell, and where its data set begins."""
    syntax, at = "", DATA_SET_AT
    while content[at : at + 2] == b"\2\0":
        tag, _, start, length = _element(content, at, implicit=False, order="<")
        if tag == TRANSFER_SYNTAX:
            syntax = content[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        at = start + length
    return syntax, at


def _walk(content: Content, at: int, found: dict[int, bytes], *, implicit: bool, order: str) -> bool:
    """Go from element to element, into every sequence and item, and raise Unreadable past one of the limits.

    Values at the top level are put where `found` has their tags. False: what comes last does not end at the end.
    """
    ends: list[int] = []  # where each open sequence and item ends; UNDEFINED: at its delimiter
    count, fragments = 0, False
    while at + 8 <= len(content):
        while ends and at >= ends[-1]:
            ends.pop()
        tag, vr, start, length = _element(content, at, implicit=implicit, order=order)
        at = start
        if tag in found and not ends:
            found[tag] = content[start : start + min(length, LONGEST_WANTED)]
        if tag in DELIMITERS:
            if not fragments and ends:
                ends.pop()
            fragments = False
            continue
        count += 1
        if count > MOST_ELEMENTS:
            raise Unreadable(f"The data set holds more than {MOST_ELEMENTS} elements and items; wanted fewer")
        if (tag == ITEM and not fragments) or _is_sequence(tag, vr, length):
            ends.append(UNDEFINED if length == UNDEFINED else at + length)
            if len(ends) > 2 * DEEPEST:
                raise Unreadable(f"The data set nests more than {DEEPEST} sequences; wanted fewer")
        elif length == UNDEFINED:
            fragments = True
        else:
            at += length
    return at == len(content) and not fragments and all(end in (at, UNDEFINED) for end in ends)


def _element(content: Content, at: int, *, implicit: bool, order: str) -> tuple[int, bytes, int, int]:
    """Tag, VR (empty where it is implicit), where the value begins, and its length (PS3.5 7.1)."""
    head = content[at : at + 12].ljust(12, b"\0")
    group, element = struct.unpack_from(f"{order}HH", head)
    vr = head[4:6]
    if implicit or group == 0xFFFE or not vr.isalpha():
        return group << 16 | element, b"", at + 8, struct.unpack_from(f"{order}L", head, 4)[0]
    if vr in LONG:
        return group << 16 | element, vr, at + 12, struct.unpack_from(f"{order}L", head, 8)[0]
    return group << 16 | element, vr, at + 8, struct.unpack_from(f"{order}H", head, 6)[0]


def _is_sequence(tag: int, vr: bytes, length: int) -> bool:
    """Whether items follow that hold elements, and not fragments or a value."""
    if vr not in (b"", b"UN"):
        return vr == b"SQ"
    if length == UNDEFINED:
        return tag >> 16 != 0x7FE0
    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"
