"""Results made visible without a PACS: reports and selections as pages, all else as PNG, studies side by side."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from cxrnode.decoding.pixels import read_radiograph
from cxrnode.errors import Refused, Unreadable
from cxrnode.family import Family
from cxrnode.finding import Outcome, Region, Side
from cxrnode.headers.header import items, text
from cxrnode.results import codes
from cxrnode.results.banner import BLACK, INK, MARGIN, NOTICE_LINE
from cxrnode.results.outline import trace
from cxrnode.results.pen import NOMINAL, Pen
from cxrnode.results.readback import Item, content_item, image_results, named
from cxrnode.results.series import SERIES
from cxrnode.results.stamp import MANUFACTURER
from cxrnode.results.tracking import COLOUR
from cxrnode.results.words import NOTICE
from cxrnode.settings.language import load_words

PREVIEW_SIDE = 1000
UNKNOWN_GREY, TINT = 0.5, 0.45
"""What stands for a film that is not at hand, and how much of a segment's colour covers the film."""
CLASSES = {series.sop_class_uid: family for family, series in SERIES.items()}
"""Overlay and map share theirs."""
CAPTIONS = {
    Family.REPORT: "Report (Comprehensive 3D SR)",
    Family.OVERLAY: "Overlay (Secondary Capture)",
    Family.PRESENTATION: "Regions (presentation state) on the source",
    Family.SEGMENTATION: "Regions (segmentation) on the source",
    Family.MAP: "Heat map, 16 bit greys (Secondary Capture)",
    Family.KEY_OBJECTS: "Key objects",
}


def family_of(dataset: Dataset) -> Family | None:
    """Which kind of result a data set is; None for what this program has not made."""
    if text(dataset, "Manufacturer") != MANUFACTURER:
        return None
    if text(dataset, "SOPClassUID") == SecondaryCaptureImageStorage:
        return Family.OVERLAY if text(dataset, "SamplesPerPixel") == "3" else Family.MAP
    return CLASSES.get(dataset.get("SOPClassUID"))


class Sources:
    """The films that results are about, as far as they are at hand; each is decoded once, when it is first wanted."""

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        self._datasets = {text(dataset, "SOPInstanceUID"): dataset for dataset in datasets}
        self._seen: dict[str, Image.Image | None] = {}

    def previews(self) -> list[Image.Image]:
        """Every film that can be decoded, for the screen."""
        return [film for film in map(self.preview, self._datasets) if film is not None]

    def preview(self, sop_instance_uid: str) -> Image.Image | None:
        """One film for the screen; None where it is not at hand or cannot be decoded."""
        if sop_instance_uid not in self._seen:
            self._seen[sop_instance_uid] = self._decoded(sop_instance_uid)
        return self._seen[sop_instance_uid]

    def _decoded(self, sop_instance_uid: str) -> Image.Image | None:
        try:
            return preview(read_radiograph(self._datasets[sop_instance_uid]))
        except (KeyError, Refused, Unreadable):
            return None


@dataclass(frozen=True)
class Shown:
    """One result as it is shown; `address` is relative to the index."""

    family: Family
    address: str

    @property
    def is_picture(self) -> bool:
        """Whether it is a picture, else a page."""
        return self.address.endswith(".png")


@dataclass(frozen=True)
class Exhibit:
    """One study, or one round of it, in the gallery; `sources` are addresses relative to the index."""

    name: str
    outcome: str
    reason: str
    probability: float | None
    objects: int
    expected: int
    """how many objects should be there"""
    stages_ms: dict[str, float]
    sources: tuple[str, ...]
    results: tuple[Shown, ...]

    @property
    def accounted(self) -> bool:
        """Whether it has an outcome and all objects that were made for it are there."""
        return self.outcome in set(Outcome) and self.objects == self.expected


def rendered(dataset: Dataset, family: Family, sources: Sources) -> tuple[str, bytes]:
    """A result as a file for a person: its suffix and its bytes."""
    match family:
        case Family.REPORT:
            return ".html", report_html(dataset).encode()
        case Family.KEY_OBJECTS:
            return ".html", selection_html(dataset).encode()
        case Family.OVERLAY | Family.MAP:
            return ".png", overlay_png(dataset)
        case Family.PRESENTATION:
            return ".png", presentation_png(dataset, sources)
        case Family.SEGMENTATION:
            return ".png", segmentation_png(dataset, sources)


def report_html(dataset: Dataset) -> str:
    """A report as a page of its own: outcomes, figures, model and warnings first, the whole content tree below."""
    tree = content_item(dataset)
    return _page(
        "report.html",
        title=f"{text(dataset, 'SeriesDescription')} - {text(dataset, 'PatientName')}",
        header=_header(dataset),
        images=image_results(dataset),
        summary=[item.value for part in named(tree, codes.QUALITATIVE_EVALUATIONS.meaning) for item in part.children],
        model=_model(dataset, tree),
        tree=tree,
    )


def selection_html(dataset: Dataset) -> str:
    """A key object selection or a rejection note as a page: its title, its words, and what it selects."""
    tree = content_item(dataset)
    selected = [item for item in tree.children if item.value_type in ("IMAGE", "COMPOSITE")]
    said = [item.value for item in named(tree, codes.KEY_OBJECT_DESCRIPTION.meaning)]
    return _page("selection.html", title=tree.name, header=_header(dataset), said=said, selected=selected)


def gallery_html(exhibits: Sequence[Exhibit], title: str, lead: str) -> str:
    """Studies one a section: source, overlay and report side by side, with outcome, reason and figures."""
    return _page("gallery.html", studies=exhibits, title=title, lead=lead, captions=CAPTIONS)


def capability_html(**facts: object) -> str:
    """The capability sheet of `cxrnode conformance --samples`."""
    return _page("capability.html", **facts)


def comparison_html(**facts: object) -> str:
    """The page of `cxrnode compare`."""
    return _page("comparison.html", **facts)


def overlay_png(dataset: Dataset) -> bytes:
    """The pixels of an RGB or greyscale result as PNG."""
    return as_png(Image.fromarray(dataset.pixel_array))


def presentation_png(state: Dataset, sources: Sources) -> bytes:
    """The outlines of a presentation state on its film, or on plain grey."""
    area = items(state, "DisplayedAreaSelectionSequence")[0]
    columns, rows = area.DisplayedAreaBottomRightHandCorner
    picture = _film(state, (rows, columns), sources)
    drawn = [_region(one) for one in items(state, "GraphicAnnotationSequence") if items(one, "GraphicObjectSequence")]
    trace(picture, drawn, (rows, columns))
    return as_png(_noticed(picture))


def segmentation_png(segmentation: Dataset, sources: Sources) -> bytes:
    """The segments as a tint on their film, or on plain grey."""
    rows, columns = segmentation.Rows, segmentation.Columns
    picture = _film(segmentation, (rows, columns), sources)
    for mask in segmentation.pixel_array.reshape(-1, rows, columns):
        tint = Image.fromarray((mask * (255 * TINT)).astype(np.uint8)).resize(picture.size)
        picture.paste(COLOUR, mask=tint)
    return as_png(_noticed(picture))


def preview(radiograph: NDArray[np.float32]) -> Image.Image:
    """A radiograph, (rows, columns) in [0, 1], as 8 bit greys of at most PREVIEW_SIDE pixels a side."""
    image = Image.fromarray(np.rint(np.clip(radiograph, 0.0, 1.0) * 255).astype(np.uint8))
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return image


def _film(dataset: Dataset, shape: tuple[int, int], sources: Sources) -> Image.Image:
    """The first image that the result refers to, in RGB; plain grey of its shape where it is not at hand."""
    series = items(dataset, "ReferencedSeriesSequence")[0]
    (image, *_) = items(series, "ReferencedImageSequence") or items(series, "ReferencedInstanceSequence")
    film = sources.preview(text(image, "ReferencedSOPInstanceUID"))
    return (film or preview(np.full(shape, UNKNOWN_GREY, dtype=np.float32))).convert("RGB")


def _region(annotation: Dataset) -> Region:
    """An outline and the side that its label names."""
    points = np.array(items(annotation, "GraphicObjectSequence")[0].GraphicData, dtype=np.float64).reshape(-1, 2)
    label = text(items(annotation, "TextObjectSequence")[0], "UnformattedTextValue")
    return Region(points, 0.0, next((side for side in Side if label.endswith(f"{side} lung")), None))


def _noticed(picture: Image.Image) -> Image.Image:
    """The picture with a strip below it that says what it is not for."""
    strip = round(NOTICE_LINE * picture.width / NOMINAL)
    canvas = Image.new("RGB", (picture.width, picture.height + strip), INK)
    canvas.paste(picture)
    pen = Pen(canvas, load_words("en"))
    pen.text((MARGIN, pen.height - NOTICE_LINE / 2), NOTICE, 40, BLACK, bold=True)
    return canvas


def _header(dataset: Dataset) -> dict[str, str]:
    wanted = {
        "Patient": "PatientName",
        "Patient ID": "PatientID",
        "Born": "PatientBirthDate",
        "Accession": "AccessionNumber",
        "Study": "StudyDescription",
        "Study date": "StudyDate",
        "Analysed": "ContentDate",
        "Status": "VerificationFlag",
    }
    found = {label: text(dataset, keyword) for label, keyword in wanted.items()}
    dates = {label: _dated(found[label]) for label in ("Born", "Study date", "Analysed")}
    return {label: value for label, value in (found | dates).items() if value}


def _dated(value: str) -> str:
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == 8 and value.isdigit() else value


def _model(dataset: Dataset, tree: Item) -> list[str]:
    parameters = dict.fromkeys(item.value for item in named(tree, codes.ALGORITHM_PARAMETERS.meaning))
    versions = dict.fromkeys(item.value for item in named(tree, codes.ALGORITHM_VERSION.meaning))
    return [f"{text(dataset, 'ManufacturerModelName')} {', '.join(versions)}", *parameters]


def as_png(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _page(name: str, **values: object) -> str:
    return _pages().get_template(name).render(values)


@cache
def _pages() -> Environment:
    loader = PackageLoader("cxrnode", "pages")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
