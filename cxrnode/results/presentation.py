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
from cxrnode.results.written import Item, item, put

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
    rows, columns = int(source.Rows), int(source.Columns)
    annotations = [
        *(_outlined(number, region, rows, columns) for number, region in enumerate(reading.regions, 1)),
        _noticed(outcome_sentence(reading, context.algorithm), rows, columns),
    ]
    put(state, GraphicLayerSequence=[_layer()], GraphicAnnotationSequence=annotations)
    return state


def _layer() -> Item:
    return item(
        GraphicLayer=LAYER,
        GraphicLayerOrder=1,
        GraphicLayerRecommendedDisplayCIELabValue=LAB,
        GraphicLayerDescription="AI result: pneumonia",
    )


def _outlined(number: int, region: Region, rows: int, columns: int) -> Item:
    """One region's outline in pixels from the outer corner of the first (PS3.3 C.10.5.1.2), and its label."""
    line = item(
        GraphicAnnotationUnits="PIXEL",
        GraphicDimensions=2,
        NumberOfGraphicPoints=len(region.outline),
        GraphicData=region.outline.ravel().tolist(),
        GraphicType="POLYLINE",
        GraphicFilled="N",
    )
    label = _text(region_name(number, region), _beside(region, rows, columns))
    return item(GraphicLayer=LAYER, TextObjectSequence=[label], GraphicObjectSequence=[line])


def _noticed(sentence: str, rows: int, columns: int) -> Item:
    """What the result is not for, and its figures, along the image's lower edge."""
    height = max(rows, columns) * LINE
    box = (0.0, max(0.0, rows - 2 * height), float(columns), float(rows))
    return item(GraphicLayer=LAYER, TextObjectSequence=[_text(f"{NOTICE}\r\n{sentence}", box)])


def _text(words: str, box: Box) -> Item:
    """Words in the middle of a box of left, top, right and bottom in pixels."""
    return item(
        BoundingBoxAnnotationUnits="PIXEL",
        UnformattedTextValue=plain(words, 1024),
        BoundingBoxTopLeftHandCorner=box[:2],
        BoundingBoxBottomRightHandCorner=box[2:],
        BoundingBoxTextHorizontalJustification="CENTER",
    )


def _beside(region: Region, rows: int, columns: int) -> Box:
    """Room for a label above the region, below it when there is none, always inside the image and off the notice."""
    height, width = max(rows, columns) * LINE, columns * LABEL
    (left, highest), (right, lowest) = region.outline.min(axis=0), region.outline.max(axis=0)
    left = max(0.0, min(float(left + right - width) / 2, columns - width))
    top = float(highest - height if highest >= height else lowest)
    top = max(0.0, min(top, rows - 3 * height))
    return left, top, left + width, min(top + height, float(rows))
