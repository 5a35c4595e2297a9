"""A data set becomes PS3.10 bytes: the same data set, the same bytes."""

import struct
from io import BytesIO
from typing import cast

import pydicom
from pydicom import Dataset
from pydicom.uid import UID

from cxrnode import __version__
from cxrnode.uids import uid_from

IMPLEMENTATION_CLASS_UID = UID(uid_from("cxrnode implementation class"))
IMPLEMENTATION_VERSION_NAME = f"CXRNODE_{__version__}"[:16]


def encode(dataset: Dataset) -> bytes:
    """The bytes of a result as a file, in the transfer syntax that its file meta information names."""
    dataset.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    content = BytesIO()
    pixels = dataset.pop("PixelData", None)  # as the last element it can follow the others, copied once
    try:
        pydicom.dcmwrite(content, dataset, enforce_file_format=True)
    finally:
        if pixels is not None:
            dataset[pixels.tag] = pixels
    if pixels is None:
        return content.getvalue()
    value = cast("bytes", pixels.value)
    head = struct.pack("<HH2sxxL", 0x7FE0, 0x0010, str(pixels.VR).encode("ascii"), len(value))
    return b"".join((content.getbuffer(), head, value))
