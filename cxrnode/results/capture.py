"""A derived Secondary Capture, the one kind of image that every PACS takes: what overlay and map have in common."""

from typing import Any

from numpy.typing import NDArray
from pydicom import Dataset

from cxrnode.family import Family
from cxrnode.finding import Reading
from cxrnode.results.codes import SPATIAL_RESAMPLING, coded
from cxrnode.results.context import ResultContext
from cxrnode.results.derived import copy_lossiness, copy_orientation, new_derived, source_images


def new_capture(family: Family, source: Dataset, reading: Reading, context: ResultContext) -> Dataset:
    """A Secondary Capture with everything but its pixels and what is said of them (PS3.3 A.8.1)."""
    capture = new_derived(family, source, reading, context)
    capture.ConversionType = "WSD"
    capture.SecondaryCaptureDeviceManufacturer = capture.Manufacturer
    capture.SecondaryCaptureDeviceManufacturerModelName = capture.ManufacturerModelName
    capture.SecondaryCaptureDeviceSoftwareVersions = capture.SoftwareVersions
    capture.DateOfSecondaryCapture = capture.ContentDate
    capture.TimeOfSecondaryCapture = capture.ContentTime
    capture.ImageType = ["DERIVED", "SECONDARY"]
    copy_orientation(capture, source)
    capture.RecognizableVisualFeatures = "NO"
    capture.DerivationCodeSequence = [coded(SPATIAL_RESAMPLING)]
    if images := source_images(source, same_grid=False):
        capture.SourceImageSequence = images
    copy_lossiness(capture, source)
    return capture


def put_pixels(capture: Dataset, pixels: NDArray[Any]) -> None:
    """Give it (rows, columns, 3) uint8 as RGB, or (rows, columns) uint8 or uint16 as MONOCHROME2."""
    capture.Rows, capture.Columns = pixels.shape[:2]
    capture.SamplesPerPixel = 1
    capture.PhotometricInterpretation = "MONOCHROME2"
    if pixels.ndim == 3:
        capture.SamplesPerPixel = pixels.shape[2]
        capture.PhotometricInterpretation = "RGB"
        capture.PlanarConfiguration = 0
    bits = pixels.dtype.itemsize * 8
    capture.BitsAllocated = capture.BitsStored = bits
    capture.HighBit = bits - 1
    capture.PixelRepresentation = 0
    content = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    capture.PixelData = content if len(content) % 2 == 0 else content + b"\0"
    capture["PixelData"].VR = "OB" if bits == 8 else "OW"
