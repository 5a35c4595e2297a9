"""A report read back: its content tree in words, and what it says of each image."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.coding import Code

from cxrnode.finding import Outcome, Side
from cxrnode.headers.header import items, text
from cxrnode.results import codes

OUTCOMES = {code: outcome for outcome, code in codes.EVALUATIONS.items()}
SIDES = {code: side for side, code in codes.SIDES.items()}
TEXT_VALUES = ("TextValue", "UID", "DateTime", "Date", "Time", "PersonName")


@dataclass(frozen=True)
class Item:
    """One content item of a report: its relationship to its parent, value type, concept name and value in words."""

    relationship: str
    value_type: str
    name: str
    value: str
    children: tuple["Item", ...]


@dataclass(frozen=True, eq=False)
class RegionResult:
    """What a report says of one region: outline, peak and side as `finding.Region` has them."""

    name: str
    tracking_uid: str
    outline: NDArray[np.float64]
    peak: float | None
    side: Side | None


@dataclass(frozen=True)
class ImageResult:
    """What a report says of one image; `probability` is the very number that was written.

    `sop_instance_uid` is empty where the image could not be referred to.
    """

    name: str
    sop_instance_uid: str
    outcome: Outcome | None
    probability: float | None
    comments: tuple[str, ...]
    regions: tuple[RegionResult, ...] = ()


def image_results(dataset: Dataset) -> list[ImageResult]:
    """What a report says of each image, in its order, and of the regions that it outlines there."""
    images: list[ImageResult] = []
    regions: dict[str, list[RegionResult]] = {}
    for group in _groups(dataset):
        if any(text(template, "TemplateIdentifier") == "1410" for template in items(group, "ContentTemplateSequence")):
            for outline in _of_type(group, "SCOORD"):
                regions.setdefault(_image_uid(outline), []).append(_region_result(group, outline))
        else:
            images.append(_image_result(group))
    return [replace(image, regions=tuple(regions.get(image.sop_instance_uid, ()))) for image in images]


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
    return codes.code_of(next(iter(items(item, keyword)), Dataset()))


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
    return ImageResult(name, _image_uid(group), outcome, probability, tuple(comments))


def _region_result(group: Dataset, outline: Dataset) -> RegionResult:
    name, tracking_uid, peak, side = "", "", None, None
    for item in items(group, "ContentSequence"):
        concept = _code(item, "ConceptNameCodeSequence")
        if concept == codes.TRACKING_IDENTIFIER:
            name = text(item, "TextValue")
        elif concept == codes.TRACKING_UID:
            tracking_uid = text(item, "UID")
        elif concept == codes.FINDING_SITE:
            side = next(
                (SIDES.get(_code(part, "ConceptCodeSequence")) for part in items(item, "ContentSequence")), None
            )
        elif concept in codes.MAPS.values():
            peak = _number(item.MeasuredValueSequence[0])
    points = np.asarray(outline.GraphicData, dtype=np.float64).reshape(-1, 2)
    return RegionResult(name, tracking_uid, points, peak, side)


def _image_uid(item: Dataset) -> str:
    """The image right below a content item; empty when there is none."""
    references = [one for image in _of_type(item, "IMAGE") for one in items(image, "ReferencedSOPSequence")]
    return text(references[0], "ReferencedSOPInstanceUID") if references else ""


def _of_type(item: Dataset, value_type: str) -> list[Dataset]:
    return [child for child in items(item, "ContentSequence") if text(child, "ValueType") == value_type]


def named(item: Item, name: str) -> Iterator[Item]:
    """The item itself and all below it that have this concept name."""
    if item.name == name:
        yield item
    for child in item.children:
        yield from named(child, name)
