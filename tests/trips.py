"""A small ramp of greys for the tests of the pixels, and the trip through bytes before anything is judged."""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset

from cxrnode.decoding.pixels import read_radiograph

RAMP = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
"""Every 12 bit value once."""


def sent(instance: Dataset) -> FileDataset:
    """The instance after a trip through bytes; pydicom's remarks on oddities that the tests plant are kept quiet."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        instance.save_as(buffer, enforce_file_format=True)
        buffer.seek(0)
        return dcmread(buffer)


def read(instance: Dataset) -> NDArray[np.float32]:
    """The radiograph of the instance after a trip through bytes."""
    return read_radiograph(sent(instance))


def lut_item(entries: list[int], first: int = 0, bits: int = 16, **attributes: object) -> Dataset:
    """An item of a Modality or VOI LUT Sequence, its data as OW."""
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 2**16, first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = np.array(entries, dtype="<u2").tobytes()
    item["LUTData"].VR = "OW"
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item
