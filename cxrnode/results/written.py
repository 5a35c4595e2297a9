"""Attributes and items as the bytes that they are written as: every result is in Explicit VR Little Endian (PS3.5 7.1).

pydicom takes 20 to 50 microseconds to build, check and write one element, and a report has seven hundred of them. What
is written here goes into its data sets as it stands (RawDataElement), and is read from them like any other.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from typing import cast

from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset, write_sequence_item
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d"}


class Item(bytes):
    """One item of a sequence, its head included (PS3.5 7.5)."""

    __slots__ = ()


Value = bytes | str | int | float | Sequence[str] | Sequence[int] | Sequence[float] | Sequence[Item] | None
"""Of an attribute: bytes, text in ASCII, numbers, items or nothing, one or several as its VR allows."""


def item(**attributes: Value) -> Item:
    """An item with these attributes, in the order of their tags. Raises UnicodeEncodeError for text beyond ASCII."""
    elements = sorted((_known(keyword), value) for keyword, value in attributes.items())
    content = b"".join(written(tag, vr, _content(vr, value)) for (tag, vr), value in elements)
    return Item(b"\xfe\xff\x00\xe0" + struct.pack("<L", len(content)) + content)


def put(result: Dataset, **attributes: Value) -> None:
    """Give a data set that is written in Explicit VR Little Endian these attributes, whatever it had before."""
    for keyword, value in attributes.items():
        tag, vr = _known(keyword)
        content = _content(vr, value)
        result[tag] = RawDataElement(
            BaseTag(tag), vr, len(content), content, 0, is_implicit_VR=False, is_little_endian=True
        )


def item_in(result: Dataset, content: Dataset) -> Item:
    """An item with text that may be beyond ASCII, in the character set of the data set that it goes into."""
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = False, True
    write_sequence_item(stream, content, convert_encodings(result.get("SpecificCharacterSet")))
    return Item(stream.getvalue())


def coded_item(code: Code) -> Item:
    """A code as an item of a code sequence (PS3.3 8.8)."""
    return _coded_item(code.value, code.scheme_designator, code.meaning)


def raw_elements(content: Dataset) -> list[RawDataElement]:
    """The elements of a data set as pydicom writes them: to be put into others, which then share no value."""
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = False, True
    write_dataset(stream, content)
    read = read_dataset(BytesIO(stream.getvalue()), is_implicit_VR=False, is_little_endian=True)
    return [cast("RawDataElement", read.get_item(tag)) for tag in read.keys()]  # noqa: SIM118  a data set gives its elements, read


@lru_cache(maxsize=512)
def _coded_item(value: str, scheme: str, meaning: str) -> Item:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


@lru_cache(maxsize=512)
def _known(keyword: str) -> tuple[int, str]:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"no attribute has the keyword {keyword!r}")
    return int(tag), dictionary_VR(tag)


def written(tag: int, vr: str, content: bytes) -> bytes:
    """An element: its head, and its value of even length as it stands. Raises struct.error for one that is too long."""
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode("ascii"))
    length = struct.pack("<xxL" if vr in EXPLICIT_VR_LENGTH_32 else "<H", len(content))
    return head + length + content


def _content(vr: str, value: Value) -> bytes:
    """The value field: of even length, several values parted by a backslash (PS3.5 6.2, 6.4)."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if vr == "SQ":
        return b"".join(cast("Sequence[Item]", value))
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    if vr in NUMBERS:
        return struct.pack(f"<{len(several)}{NUMBERS[vr]}", *several)
    written = "\\".join(map(str, several)).encode("iso8859" if vr == "UI" else "ascii")  # a stranger's UID may be odd
    return written + (b"\0" if vr == "UI" else b" ") * (len(written) % 2)
