"""A data set becomes PS3.10 bytes: the same data set, the same bytes."""

import struct
from io import BytesIO
from typing import cast

import pydicom
from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_data_element
from pydicom.uid import UID, ExplicitVRLittleEndian

from cxrnode import __version__
from cxrnode.results.written import item, written
from cxrnode.uids import uid_from

IMPLEMENTATION_CLASS_UID = UID(uid_from("cxrnode implementation class"))
IMPLEMENTATION_VERSION_NAME = f"CXRNODE_{__version__}"[:16]
PREAMBLE, ITEM_HEAD = 128, 8
META = frozenset((
    "FileMetaInformationGroupLength", "FileMetaInformationVersion", "MediaStorageSOPClassUID",
    "MediaStorageSOPInstanceUID", "TransferSyntaxUID", "ImplementationClassUID", "ImplementationVersionName",
))  # fmt: skip
"""of a file, and no more"""


def encode(dataset: Dataset) -> bytes:
    """The bytes of a result as a file, in the transfer syntax that its file meta information names."""
    dataset.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    pixels = dataset.pop("PixelData", None)  # as the last element it can follow the others, copied once
    try:
        content = _as_it_is(dataset) if _is_written(dataset) else _by_pydicom(dataset)
    finally:
        if pixels is not None:
            dataset[pixels.tag] = pixels
    if pixels is None:
        return content.getvalue()
    value = cast("bytes", pixels.value)
    head = struct.pack("<HH2sxxL", 0x7FE0, 0x0010, str(pixels.VR).encode("ascii"), len(value))
    return b"".join((content.getbuffer(), head, value))


def _by_pydicom(dataset: Dataset) -> BytesIO:
    content = BytesIO()
    pydicom.dcmwrite(content, dataset, enforce_file_format=True)
    return content


def _is_written(dataset: Dataset) -> bool:
    """Whether what it has as bytes is to be written so."""
    return (
        dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        and dataset.original_encoding == (False, True)
        and dataset.original_character_set == convert_encodings(dataset.get("SpecificCharacterSet"))
        and META.issuperset(element.keyword for element in dataset.file_meta)
    )


def _as_it_is(dataset: Dataset) -> BytesIO:
    """The same bytes as pydicom's, in two thirds of its time: what is bytes already goes through no writer."""
    meta = item(
        FileMetaInformationVersion=b"\0\1",
        MediaStorageSOPClassUID=str(dataset.SOPClassUID),
        MediaStorageSOPInstanceUID=str(dataset.SOPInstanceUID),
        TransferSyntaxUID=ExplicitVRLittleEndian,
        ImplementationClassUID=IMPLEMENTATION_CLASS_UID,
        ImplementationVersionName=IMPLEMENTATION_VERSION_NAME,
    )[ITEM_HEAD:]
    whole = BytesIO()
    content = DicomIO(whole)
    content.is_implicit_VR, content.is_little_endian = False, True
    content.write(bytes(PREAMBLE) + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(meta)) + meta)
    encodings = dataset.get("SpecificCharacterSet")
    for tag in sorted(dataset.keys()):
        element = dataset.get_item(tag)
        value = element.value
        if isinstance(element, RawDataElement) and isinstance(value, bytes) and len(value) == element.length:
            content.write(written(tag, element.VR or "UN", value))
        else:
            write_data_element(content, element, encodings)
    return whole
