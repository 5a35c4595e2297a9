"""Results made visible without a PACS: the report as a page, pictures as PNG, the demo's studies side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.sr.coding import Code

from cxrnode.finding import Outcome
from cxrnode.header import items, text
from cxrnode.results import codes

OUTCOMES = {
    codes.PRESENT: Outcome.POSITIVE,
    codes.ABSENT: Outcome.NEGATIVE,
    codes.NOT_ATTEMPTED: Outcome.REFUSED,
    codes.FAILED: Outcome.FAILED,
}
TEXT_VALUES = ("TextValue", "UID", "DateTime", "Date", "Time", "PersonName")
PREVIEW_SIDE = 1000


@dataclass(frozen=True)
class Item:
    """One content item of a report: its relationship to its parent, value type, concept name and value in words."""

    relationship: str
    value_type: str
    name: str
    value: str
    children: tuple["Item", ...]


@dataclass(frozen=True)
class ImageResult:
    """What a report says of one image; `probability` is the very number that was written."""

    name: str
    outcome: Outcome | None
    probability: float | None
    comments: tuple[str, ...]


@dataclass(frozen=True)
class StudyPage:
    """One study of the gallery; `sources`, `overlays` and `report` are addresses relative to the page."""

    name: str
    outcome: str
    reason: str
    probability: float | None
    objects: int
    stages_ms: dict[str, float]
    sources: tuple[str, ...]
    overlays: tuple[str, ...]
    report: str | None


def report_html(dataset: Dataset) -> str:
    """A report as a page of its own: outcomes, figures, model and warnings first, the whole content tree below."""
    tree = content_item(dataset)
    return _page(
        "report.html",
        title=f"{text(dataset, 'SeriesDescription')} - {text(dataset, 'PatientName')}",
        header=_header(dataset),
        images=image_results(dataset),
        summary=[item.value for part in _named(tree, codes.QUALITATIVE_EVALUATIONS.meaning) for item in part.children],
        model=_model(dataset, tree),
        tree=tree,
    )


def image_results(dataset: Dataset) -> list[ImageResult]:
    """What a report says of each image, in its order."""
    return [_image_result(group) for group in _groups(dataset)]


def gallery_html(studies: Sequence[StudyPage]) -> str:
    """Studies one a section: source, overlay and report side by side, with outcome, reason and figures."""
    return _page("gallery.html", studies=studies)


def overlay_png(dataset: Dataset) -> bytes:
    """The pixels of an 8 bit RGB or greyscale result as PNG."""
    return _png(Image.fromarray(dataset.pixel_array))


def source_png(radiograph: NDArray[np.float32]) -> bytes:
    """A radiograph, (rows, columns) in [0, 1], as an 8 bit PNG of at most PREVIEW_SIDE pixels."""
    image = Image.fromarray(np.rint(np.clip(radiograph, 0.0, 1.0) * 255).astype(np.uint8))
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return _png(image)


def content_item(dataset: Dataset) -> Item:
    """A content item and all below it, in words."""
    return Item(
        relationship=text(dataset, "RelationshipType").lower(),
        value_type=text(dataset, "ValueType"),
        name=_meaning(dataset, "ConceptNameCodeSequence"),
        value=_value(dataset),
        children=tuple(content_item(child) for child in items(dataset, "ContentSequence")),
    )


def _value(item: Dataset) -> str:
    match text(item, "ValueType"):
        case "CODE":
            return _meaning(item, "ConceptCodeSequence")
        case "NUM":
            return ", ".join(_quantity(value) for value in items(item, "MeasuredValueSequence"))
        case "IMAGE" | "COMPOSITE":
            return ", ".join(text(one, "ReferencedSOPInstanceUID") for one in items(item, "ReferencedSOPSequence"))
        case _:
            return next((text(item, keyword) for keyword in TEXT_VALUES if text(item, keyword)), "")


def _number(value: Dataset) -> float:
    return float(value.get("FloatingPointValue", value.NumericValue))


def _quantity(value: Dataset) -> str:
    unit = _code(value, "MeasurementUnitsCodeSequence")
    return f"{_number(value)!r}" if unit == codes.NO_UNITS else f"{_number(value)!r} {unit.value}"


def _meaning(item: Dataset, keyword: str) -> str:
    return str(_code(item, keyword).meaning)


def _code(item: Dataset, keyword: str) -> Code:
    found = next(iter(items(item, keyword)), Dataset())
    return Code(*(text(found, part) for part in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")))


def _groups(item: Dataset) -> Iterator[Dataset]:
    for child in items(item, "ContentSequence"):
        if _code(child, "ConceptNameCodeSequence") == codes.MEASUREMENT_GROUP:
            yield child
        else:
            yield from _groups(child)


def _image_result(group: Dataset) -> ImageResult:
    name, outcome, probability, comments = "", None, None, []
    for item in items(group, "ContentSequence"):
        concept = _code(item, "ConceptNameCodeSequence")
        if concept == codes.TRACKING_IDENTIFIER:
            name = text(item, "TextValue")
        elif concept == codes.PNEUMONIA:
            outcome = OUTCOMES.get(_code(item, "ConceptCodeSequence"))
        elif concept == codes.PROBABILITY:
            probability = _number(item.MeasuredValueSequence[0])
        elif concept == codes.COMMENT:
            comments.append(text(item, "TextValue"))
    return ImageResult(name, outcome, probability, tuple(comments))


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
    parameters = dict.fromkeys(item.value for item in _named(tree, codes.ALGORITHM_PARAMETERS.meaning))
    versions = dict.fromkeys(item.value for item in _named(tree, codes.ALGORITHM_VERSION.meaning))
    return [f"{text(dataset, 'ManufacturerModelName')} {', '.join(versions)}", *parameters]


def _named(item: Item, name: str) -> Iterator[Item]:
    if item.name == name:
        yield item
    for child in item.children:
        yield from _named(child, name)


def _png(image: Image.Image) -> bytes:
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _page(name: str, **values: object) -> str:
    return _pages().get_template(name).render(values)


@cache
def _pages() -> Environment:
    loader = PackageLoader("cxrnode", "pages")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
