"""The presentation state: a positive's regions as lines and labels over its own film, to be switched off at will."""

from pydicom import Dataset

from cxrnode.family import Family
from cxrnode.finding import Reading, Region
from cxrnode.results.context import ResultContext
from cxrnode.results.derived import label_content, new_derived
from cxrnode.results.evidence import reference
from cxrnode.results.softcopy import keep_look
from cxrnode.results.tracking import LAB, region_name
from cxrnode.results.words import NOTICE, outcome_sentence, plain

LAYER = "AI"
LINE, LABEL = 1 / 40, 1 / 2
"""A label's height and width as parts of the image's longer side and of its columns."""

Box = tuple[float, float, float, float]


def build_presentation(source: Dataset, reading: Reading, context: ResultContext) -> Dataset:
    """A Grayscale Softcopy Presentation State (PS3.3 A.33.1) of one image: each region an outline with its name.

    The outlines lie in a layer of their own; the film looks as it does without the state. Raises ValueError for a
    reading without regions, or a source that cannot be referred to.
    """
    if not reading.regions:
        raise ValueError("the reading has no regions to present")
    state = new_derived(Family.PRESENTATION, source, reading, context)
    label_content(state)
    state.PresentationCreationDate, state.PresentationCreationTime = state.ContentDate, state.ContentTime
    del state.ContentDate, state.ContentTime  # this IOD has the others instead
    series = Dataset()
    series.SeriesInstanceUID = str(source.SeriesInstanceUID)
    series.ReferencedImageSequence = [reference(source)]
    state.ReferencedSeriesSequence = [series]
    keep_look(state, source)
    state.GraphicLayerSequence = [_layer()]
    rows, columns = int(source.Rows), int(source.Columns)
    state.GraphicAnnotationSequence = [
        *(_outlined(number, region, rows, columns) for number, region in enumerate(reading.regions, 1)),
        _noticed(outcome_sentence(reading, context.algorithm), rows, columns),
    ]
    return state


def _layer() -> Dataset:
    layer = Dataset()
    layer.GraphicLayer = LAYER
    layer.GraphicLayerOrder = 1
    layer.GraphicLayerRecommendedDisplayCIELabValue = LAB
    layer.GraphicLayerDescription = "AI result: pneumonia"
    return layer


def _outlined(number: int, region: Region, rows: int, columns: int) -> Dataset:
    """One region's outline in pixels from the outer corner of the first (PS3.3 C.10.5.1.2), and its label."""
    line = Dataset()
    line.GraphicAnnotationUnits = "PIXEL"
    line.GraphicDimensions = 2
    line.NumberOfGraphicPoints = len(region.outline)
    line.GraphicData = [float(one) for one in region.outline.ravel()]
    line.GraphicType = "POLYLINE"
    line.GraphicFilled = "N"
    annotation = Dataset()
    annotation.GraphicLayer = LAYER
    annotation.TextObjectSequence = [_text(region_name(number, region), _beside(region, rows, columns))]
    annotation.GraphicObjectSequence = [line]
    return annotation


def _noticed(sentence: str, rows: int, columns: int) -> Dataset:
    """What the result is not for, and its figures, along the image's lower edge."""
    height = max(rows, columns) * LINE
    annotation = Dataset()
    annotation.GraphicLayer = LAYER
    box = (0.0, max(0.0, rows - 2 * height), float(columns), float(rows))
    annotation.TextObjectSequence = [_text(f"{NOTICE}\r\n{sentence}", box)]
    return annotation


def _text(words: str, box: Box) -> Dataset:
    """Words in the middle of a box of left, top, right and bottom in pixels."""
    written = Dataset()
    written.BoundingBoxAnnotationUnits = "PIXEL"
    written.UnformattedTextValue = plain(words, 1024)
    written.BoundingBoxTopLeftHandCorner = list(box[:2])
    written.BoundingBoxBottomRightHandCorner = list(box[2:])
    written.BoundingBoxTextHorizontalJustification = "CENTER"
    return written


def _beside(region: Region, rows: int, columns: int) -> Box:
    """Room for a label above the region, below it when there is none, always inside the image and off the notice."""
    height, width = max(rows, columns) * LINE, columns * LABEL
    (left, highest), (right, lowest) = region.outline.min(axis=0), region.outline.max(axis=0)
    left = max(0.0, min(float(left + right - width) / 2, columns - width))
    top = float(highest - height if highest >= height else lowest)
    top = max(0.0, min(top, rows - 3 * height))
    return left, top, left + width, min(top + height, float(rows))
