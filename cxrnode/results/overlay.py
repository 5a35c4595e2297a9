"""The overlay: one RGB Secondary Capture an analysed image, greys, heat and banners that every PACS can show."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.uid import (
    JPEG2000,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    SecondaryCaptureImageStorage,
)

from cxrnode.finding import Algorithm, Reading
from cxrnode.header import text
from cxrnode.results.banner import NOMINAL, PAPER, Banner, banner_for
from cxrnode.results.codes import SOURCE_IMAGE, SPATIAL_RESAMPLING, coded
from cxrnode.results.context import ResultContext
from cxrnode.results.evidence import referable, reference
from cxrnode.results.heat import opacity, paint
from cxrnode.results.inherit import copy_sound
from cxrnode.results.stamp import new_result
from cxrnode.results.words import NOTICE, outcome_sentence, plain
from cxrnode.uids import Role

LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000)
PAIRED = ("LUNG",)
"""A paired organ would want a Laterality (Type 2C), and a frontal radiograph shows both: it is of the CHEST."""
SMALLEST_SIDE = 640
"""A smaller radiograph is enlarged until the whole overlay is this long, so that its banner can be read."""


@dataclass(frozen=True)
class Frame:
    """Where the picture stands on the canvas, in pixels: its rows lie between the banners, and it is centred."""

    canvas: tuple[int, int]
    """width, height"""
    left: int
    top: int
    columns: int
    rows: int


def build_overlay(
    source: Dataset, radiograph: NDArray[np.float32], reading: Reading, context: ResultContext
) -> Dataset:
    """The overlay of one analysed image; `radiograph` is (rows, columns) float32 in [0, 1], air dark.

    Raises ValueError for a reading without a finding: there is nothing to lay over.
    """
    draws = context.draw_not_localised
    pixels = draw(radiograph, reading, context.algorithm, context.overlay_longest_side, draw_not_localised=draws)
    uid = context.identity.uid(Role.OVERLAY, reading.sop_instance_uid)
    overlay = new_result(source, context, SecondaryCaptureImageStorage, uid)
    _describe_series(overlay, source, context)
    _describe_derivation(overlay, source, reading, context)
    _put_pixels(overlay, pixels)
    return overlay


def draw(
    radiograph: NDArray[np.float32],
    reading: Reading,
    algorithm: Algorithm,
    longest_side: int,
    *,
    draw_not_localised: bool = False,
) -> NDArray[np.uint8]:
    """The picture with its banners, (rows, columns, 3) uint8, no side longer than `longest_side`."""
    if reading.finding is None:
        raise ValueError(f"a {reading.outcome} reading has nothing to draw")
    shown = reading.finding.localised or draw_not_localised
    banner = banner_for(reading, algorithm, shown=shown)
    frame = frame_for(radiograph.shape, banner, longest_side)
    size = (frame.columns, frame.rows)
    greys = Image.fromarray(radiograph).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    eight_bits = np.rint(np.clip(np.asarray(greys), 0.0, 1.0) * 255).astype(np.uint8)
    values = reading.finding.heatmap.resized(frame.rows, frame.columns)
    strength = opacity(reading.finding.probability, algorithm.operating_point) if shown else 0.0

    canvas = Image.new("RGB", frame.canvas, PAPER)
    canvas.paste(Image.fromarray(paint(eight_bits, values, strength)), (frame.left, frame.top))
    banner.draw(canvas)
    return np.asarray(canvas)


def frame_for(shape: tuple[int, ...], banner: Banner, longest_side: int) -> Frame:
    """Fit a picture of `shape` (rows, columns) and its banners into a square of `longest_side` pixels."""
    rows, columns = shape
    side = min(longest_side, max(SMALLEST_SIDE, rows, columns))
    banners = (banner.top + banner.bottom) / NOMINAL
    width = round(min(side, max(side / 2, side / (rows / columns + banners))))
    top, bottom = round(banner.top * width / NOMINAL), round(banner.bottom * width / NOMINAL)
    scale = min(width / columns, (side - top - bottom) / rows)
    fitted = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    return Frame((width, top + fitted[1] + bottom), (width - fitted[0]) // 2, top, *fitted)


def _describe_series(overlay: Dataset, source: Dataset, context: ResultContext) -> None:
    overlay.Modality = "OT"
    overlay.ConversionType = "WSD"
    overlay.SeriesInstanceUID = context.identity.uid(Role.OVERLAY_SERIES)
    overlay.SeriesNumber = 9002
    overlay.SeriesDescription = "AI overlay: pneumonia"
    overlay.InstanceNumber = None
    overlay.BodyPartExamined = "CHEST"
    if text(source, "BodyPartExamined") not in PAIRED:
        copy_sound(overlay, source, "BodyPartExamined")
    overlay.PatientOrientation = None
    copy_sound(overlay, source, "InstanceNumber")
    copy_sound(overlay, source, "PatientOrientation")
    overlay.SecondaryCaptureDeviceManufacturer = overlay.Manufacturer
    overlay.SecondaryCaptureDeviceManufacturerModelName = overlay.ManufacturerModelName
    overlay.SecondaryCaptureDeviceSoftwareVersions = overlay.SoftwareVersions
    overlay.DateOfSecondaryCapture = overlay.ContentDate
    overlay.TimeOfSecondaryCapture = overlay.ContentTime


def _describe_derivation(overlay: Dataset, source: Dataset, reading: Reading, context: ResultContext) -> None:
    overlay.ImageType = ["DERIVED", "SECONDARY"]
    overlay.BurnedInAnnotation = "YES"
    overlay.RecognizableVisualFeatures = "NO"
    sentence = outcome_sentence(reading, context.algorithm)
    drawn = f"Radiograph resampled to 8 bits, with the {context.algorithm.explanation} map above the operating point"
    drawn = f"{drawn}, its half maximum line"
    if reading.finding is not None and not (reading.finding.localised or context.draw_not_localised):
        drawn = "Radiograph resampled to 8 bits, without its map"
    sentence = f"{sentence} {reading.reason}".rstrip()
    overlay.DerivationDescription = plain(f"{drawn}, and banners. {context.algorithm.name}. {sentence}", 1024)
    overlay.DerivationCodeSequence = [coded(SPATIAL_RESAMPLING)]
    overlay.ImageComments = plain(f"{NOTICE}. {sentence}")
    if referable(source):
        item = reference(source)
        item.PurposeOfReferenceCodeSequence = [coded(SOURCE_IMAGE)]
        item.SpatialLocationsPreserved = "NO"
        overlay.SourceImageSequence = [item]
    if text(source, "LossyImageCompression") == "01" or _transfer_syntax(source) in LOSSY:
        overlay.LossyImageCompression = "01"
        copy_sound(overlay, source, "LossyImageCompressionRatio")
        copy_sound(overlay, source, "LossyImageCompressionMethod")


def _put_pixels(overlay: Dataset, pixels: NDArray[np.uint8]) -> None:
    overlay.Rows, overlay.Columns, overlay.SamplesPerPixel = pixels.shape
    overlay.PhotometricInterpretation = "RGB"
    overlay.PlanarConfiguration = 0
    overlay.BitsAllocated = overlay.BitsStored = 8
    overlay.HighBit = 7
    overlay.PixelRepresentation = 0
    content = pixels.tobytes()
    overlay.PixelData = content + b"\0" * (len(content) % 2)
    overlay["PixelData"].VR = "OB"


def _transfer_syntax(source: Dataset) -> str:
    return str(getattr(source, "file_meta", Dataset()).get("TransferSyntaxUID", ""))
