"""What a result about one image says of it: its series, what it shows, the source and whether that was lossy."""

from pydicom import Dataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from cxrnode.family import Family
from cxrnode.finding import Reading
from cxrnode.headers.header import text
from cxrnode.results.codes import SOURCE_IMAGE, coded
from cxrnode.results.context import ResultContext
from cxrnode.results.evidence import referable, reference
from cxrnode.results.inherit import copy_sound
from cxrnode.results.stamp import new_result

LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)
PAIRED = ("LUNG",)
"""A paired organ would want a Laterality (Type 2C), and a frontal radiograph shows both: it is of the CHEST."""


def new_derived(family: Family, source: Dataset, reading: Reading, context: ResultContext) -> Dataset:
    """A data set of one of the families about one image, with everything but its own content."""
    result = new_result(family, source, context, reading.sop_instance_uid)
    copy_sound(result, source, "InstanceNumber")
    result.BodyPartExamined = "CHEST"
    if text(source, "BodyPartExamined") not in PAIRED:
        copy_sound(result, source, "BodyPartExamined")
    return result


def source_images(source: Dataset, *, same_grid: bool) -> list[Dataset]:
    """The items of a Source Image Sequence (PS3.3 C.7.6.1.4); none where the source cannot be referred to.

    `same_grid`: a place in the result is the same place in the source.
    """
    if not referable(source):
        return []
    item = reference(source)
    item.PurposeOfReferenceCodeSequence = [coded(SOURCE_IMAGE)]
    item.SpatialLocationsPreserved = "YES" if same_grid else "NO"
    return [item]


def copy_orientation(result: Dataset, source: Dataset) -> None:
    """Patient Orientation (Type 2C of an image) as the source has it, empty where it has none."""
    result.PatientOrientation = None
    copy_sound(result, source, "PatientOrientation")


def label_content(result: Dataset) -> None:
    """Content Identification (PS3.3 Table 10-12): what a viewer's list of annotations and segmentations shows."""
    result.ContentLabel = "AI_PNEUMONIA"
    result.ContentDescription = "Regions where the model looked"
    result.ContentCreatorName = None


def copy_lossiness(result: Dataset, source: Dataset) -> None:
    """Say that the source's pixels have been through a lossy compression, and which, where they have (C.7.6.1.1.5)."""
    if text(source, "LossyImageCompression") == "01" or _transfer_syntax(source) in LOSSY:
        result.LossyImageCompression = "01"
        copy_sound(result, source, "LossyImageCompressionRatio")
        copy_sound(result, source, "LossyImageCompressionMethod")


def _transfer_syntax(source: Dataset) -> str:
    return str(getattr(source, "file_meta", Dataset()).get("TransferSyntaxUID", ""))
