"""The segmentation: a positive's regions as a binary mask each, on the film's own grid."""

from collections.abc import Sequence

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from cxrnode.family import Family
from cxrnode.finding import Reading, Region
from cxrnode.regions import Mask, rasterised
from cxrnode.results import codes
from cxrnode.results.codes import coded
from cxrnode.results.context import ResultContext
from cxrnode.results.derived import copy_lossiness, copy_orientation, label_content, new_derived, source_images
from cxrnode.results.evidence import reference
from cxrnode.results.tracking import LAB, region_name, region_uid
from cxrnode.results.words import plain
from cxrnode.uids import uid_from


def build_segmentation(source: Dataset, reading: Reading, context: ResultContext) -> Dataset:
    """A binary Segmentation (PS3.3 A.51) of one image, a segment and a frame a region.

    A projection has no Frame of Reference: frame and source are the same grid, pixel by pixel. Raises ValueError for
    a reading without regions, or a source that cannot be referred to.
    """
    if not reading.regions:
        raise ValueError("the reading has no regions to segment")
    segmentation = new_derived(Family.SEGMENTATION, source, reading, context)
    label_content(segmentation)
    segmentation.DeviceSerialNumber = context.algorithm.digest[:64]
    segmentation.ImageType = ["DERIVED", "PRIMARY"]
    copy_orientation(segmentation, source)
    segmentation.BurnedInAnnotation = "NO"
    segmentation.LossyImageCompression = "00"
    copy_lossiness(segmentation, source)
    segmentation.SegmentationType = "BINARY"
    segmentation.SegmentSequence = [
        _segment(number, region, reading, context) for number, region in enumerate(reading.regions, 1)
    ]
    _describe_frames(segmentation, source, len(reading.regions))
    rows, columns = int(source.Rows), int(source.Columns)
    _put_masks(segmentation, [rasterised(region.outline, rows, columns) for region in reading.regions])
    return segmentation


def _segment(number: int, region: Region, reading: Reading, context: ResultContext) -> Dataset:
    """Segment Description (PS3.3 C.8.20.4): the region under the name and UID that the report tracks it by."""
    segment = Dataset()
    segment.SegmentNumber = number
    segment.SegmentLabel = segment.TrackingID = region_name(number, region)
    segment.TrackingUID = region_uid(reading, number, context)
    segment.SegmentedPropertyCategoryCodeSequence = [coded(codes.MORPHOLOGICALLY_ABNORMAL)]
    segment.SegmentedPropertyTypeCodeSequence = [coded(codes.PNEUMONIA)]
    lung = coded(codes.LUNG)
    if region.side is not None:
        lung.AnatomicRegionModifierSequence = [coded(codes.SIDES[region.side])]
    segment.AnatomicRegionSequence = [lung]
    segment.SegmentAlgorithmType = "AUTOMATIC"
    segment.SegmentAlgorithmName = plain(context.algorithm.name, 64)
    algorithm = Dataset()
    algorithm.AlgorithmFamilyCodeSequence = [coded(codes.ARTIFICIAL_INTELLIGENCE)]
    algorithm.AlgorithmName = plain(context.algorithm.name, 64)
    algorithm.AlgorithmVersion = plain(context.algorithm.version, 64)
    segment.SegmentationAlgorithmIdentificationSequence = [algorithm]
    segment.RecommendedDisplayCIELabValue = LAB
    return segment


def _describe_frames(segmentation: Dataset, source: Dataset, count: int) -> None:
    """Where the frames come from, and that they differ by segment (PS3.3 C.7.6.16, C.7.6.17, C.12.2)."""
    series = Dataset()
    series.SeriesInstanceUID = str(source.SeriesInstanceUID)
    series.ReferencedInstanceSequence = [reference(source)]
    segmentation.ReferencedSeriesSequence = [series]
    organization, index = Dataset(), Dataset()
    organization.DimensionOrganizationUID = uid_from({"dimensions of": segmentation.SOPInstanceUID})
    index.DimensionOrganizationUID = organization.DimensionOrganizationUID
    index.DimensionIndexPointer = tag_for_keyword("ReferencedSegmentNumber")
    index.FunctionalGroupPointer = tag_for_keyword("SegmentIdentificationSequence")
    segmentation.DimensionOrganizationSequence = [organization]
    segmentation.DimensionIndexSequence = [index]
    segmentation.SharedFunctionalGroupsSequence = [Dataset()]
    segmentation.PerFrameFunctionalGroupsSequence = [_frame(number, source) for number in range(1, count + 1)]
    segmentation.NumberOfFrames = count


def _frame(number: int, source: Dataset) -> Dataset:
    content, segment, derivation, frame = Dataset(), Dataset(), Dataset(), Dataset()
    content.DimensionIndexValues = [number]
    segment.ReferencedSegmentNumber = number
    derivation.DerivationCodeSequence = [coded(codes.SEGMENTATION)]
    derivation.SourceImageSequence = source_images(source, same_grid=True)
    frame.FrameContentSequence = [content]
    frame.SegmentIdentificationSequence = [segment]
    frame.DerivationImageSequence = [derivation]
    return frame


def _put_masks(segmentation: Dataset, masks: Sequence[Mask]) -> None:
    """One bit a pixel, the first in the lowest (PS3.5 8.1.1); a frame begins at the very bit where the last ended."""
    segmentation.Rows, segmentation.Columns = masks[0].shape
    segmentation.SamplesPerPixel = 1
    segmentation.PhotometricInterpretation = "MONOCHROME2"
    segmentation.BitsAllocated = segmentation.BitsStored = 1
    segmentation.HighBit = segmentation.PixelRepresentation = 0
    segmentation.SegmentsOverlap = "YES" if _overlap(masks) else "NO"
    content = np.packbits(masks[0] if len(masks) == 1 else np.stack(masks), axis=None, bitorder="little").tobytes()
    segmentation.PixelData = content if len(content) % 2 == 0 else content + b"\0"
    segmentation["PixelData"].VR = "OB"


def _overlap(masks: Sequence[Mask]) -> bool:
    """Whether a pixel lies in two of them."""
    if len(masks) == 1:
        return False
    covered = masks[0].copy()
    for mask in masks[1:]:
        if (covered & mask).any():
            return True
        covered |= mask
    return False
