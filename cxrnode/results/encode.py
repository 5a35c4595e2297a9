"""A data set becomes PS3.10 bytes: the same data set, the same bytes."""

from io import BytesIO

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
    pydicom.dcmwrite(content, dataset, enforce_file_format=True)
    return content.getvalue()
