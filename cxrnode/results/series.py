"""The series that each family's objects of a round go into: number, modality, SOP class, description."""

from typing import NamedTuple

from pydicom import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from cxrnode.family import Family


class Series(NamedTuple):
    """The one series that a family's objects of a round go into."""

    number: int
    modality: str
    sop_class_uid: str
    description: str


SERIES = {
    Family.REPORT: Series(9001, "SR", Comprehensive3DSRStorage, "AI report: pneumonia"),
    Family.OVERLAY: Series(9002, "OT", SecondaryCaptureImageStorage, "AI overlay: pneumonia"),
    Family.PRESENTATION: Series(9003, "PR", GrayscaleSoftcopyPresentationStateStorage, "AI presentation: pneumonia"),
    Family.SEGMENTATION: Series(9004, "SEG", SegmentationStorage, "AI segmentation: pneumonia"),
    Family.MAP: Series(9005, "OT", SecondaryCaptureImageStorage, "AI map: pneumonia"),
    Family.KEY_OBJECTS: Series(9006, "KO", KeyObjectSelectionDocumentStorage, "AI key images: pneumonia"),
}
REJECTION = Series(9007, "KO", KeyObjectSelectionDocumentStorage, "AI results withdrawn")
"""A rejection note is about a round's results, and of no family."""


def put_into(series: Series, result: Dataset, sop_instance_uid: str, series_instance_uid: str) -> None:
    """Say in `result` which series it belongs to, and under which UIDs."""
    result.SOPClassUID = series.sop_class_uid
    result.SOPInstanceUID = sop_instance_uid
    result.SeriesInstanceUID = series_instance_uid
    result.SeriesNumber = series.number
    result.SeriesDescription = series.description
    result.Modality = series.modality
    result.InstanceNumber = 1
