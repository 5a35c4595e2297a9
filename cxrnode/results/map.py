"""The heat map as data: one 16 bit greyscale Secondary Capture from which the raw activation can be had again.

A plain Secondary Capture: every PACS stores and shows one, and its IOD has a Modality LUT, so that the rescaled
value is the raw one. The multi-frame greyscale kind fixes Rescale Slope at 1; a Parametric Map wants a Frame of
Reference, which a projection lacks; and a fractional segmentation means a probability, which no map is.
"""

import numpy as np
from pydicom import Dataset
from pydicom.valuerep import format_number_as_ds

from cxrnode.family import Family
from cxrnode.finding import WHOLE, Finding, Reading
from cxrnode.results.capture import new_capture, put_pixels
from cxrnode.results.context import ResultContext
from cxrnode.results.words import NOTICE, outcome_sentence, percent, plain

LONGEST_SIDE = 512
HIGHEST = 65535


def build_map(source: Dataset, reading: Reading, context: ResultContext) -> Dataset:
    """The map over the whole image in its own aspect, longest side LONGEST_SIDE; 0 to 65535 is 0 to its raw peak.

    Rescale Slope takes a stored value back to the raw one, within 1/65535 of the peak. Raises ValueError for a
    reading without a map, or with an empty one.
    """
    if reading.finding is None or not reading.finding.heatmap.values.any():
        raise ValueError(f"a {reading.outcome} reading has no map, or an empty one")
    heatmap = reading.finding.heatmap
    scale = LONGEST_SIDE / max(source.Rows, source.Columns)
    values = heatmap.resized(max(1, round(source.Rows * scale)), max(1, round(source.Columns * scale)))
    capture = new_capture(Family.MAP, source, reading, context)
    capture.BurnedInAnnotation = "NO"
    capture.RescaleIntercept = "0"
    capture.RescaleSlope = format_number_as_ds(heatmap.peak / HIGHEST)
    capture.RescaleType = "US"
    put_pixels(capture, np.rint(values * HIGHEST).astype(np.uint16))
    _describe(capture, reading, reading.finding, context)
    return capture


def _describe(capture: Dataset, reading: Reading, finding: Finding, context: ResultContext) -> None:
    heatmap, algorithm = finding.heatmap, context.algorithm
    made = (
        f"{heatmap.method} map of {algorithm.name} {algorithm.version}, {heatmap.values.shape[1]} by "
        f"{heatmap.values.shape[0]}, bilinear to {capture.Columns} by {capture.Rows} over the whole image. "
        f"Stored 0 to {HIGHEST} is raw 0 to {heatmap.peak!r}, the map's peak."
    )
    if heatmap.span != WHOLE:
        top, bottom, left, right = (
            percent(edge) for edge in (heatmap.span.top, heatmap.span.bottom, heatmap.span.left, heatmap.span.right)
        )
        made = f"{made} The model saw rows {top} to {bottom} and columns {left} to {right}; elsewhere 0 means unseen."
    capture.DerivationDescription = plain(made, 1024)
    sentence = f"{outcome_sentence(reading, algorithm)} {reading.reason}".rstrip()
    capture.ImageComments = plain(f"{NOTICE}. Not a radiograph: where the model looked. {sentence}")
