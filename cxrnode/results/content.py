"""Content items (PS3.3 C.17.3), the leaves and containers of a report's and a selection's tree, written as bytes."""

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.valuerep import format_number_as_ds, is_valid_ds

from cxrnode.results.words import plain
from cxrnode.results.written import Item, coded_item, item, put


class Relation(StrEnum):
    """What an item is to the one that it lies in (PS3.3 C.17.3.2.4)."""

    CONTAINS = "CONTAINS"
    CONTEXT = "HAS OBS CONTEXT"
    MODIFIER = "HAS CONCEPT MOD"
    SELECTED_FROM = "SELECTED FROM"


def coded_value(relation: Relation, name: Code, value: Code | Item, children: Sequence[Item] = ()) -> Item:
    """A coded value: a code, or an item of a code sequence as it stands."""
    written = value if isinstance(value, Item) else coded_item(value)
    return _item(relation, "CODE", name, children, ConceptCodeSequence=[written])


def sentence(relation: Relation, name: Code, words: str) -> Item:
    """Words, in ASCII."""
    return _sentence(relation, name.value, name.scheme_designator, name.meaning, plain(words))


def uid(relation: Relation, name: Code, value: str) -> Item:
    """A UID."""
    return _item(relation, "UIDREF", name, UID=value)


def number(name: Code, value: float, unit: Code, children: Sequence[Item] = ()) -> Item:
    """A measured value, as text (DS) and as the very double (FloatingPointValue)."""
    written = repr(value) if is_valid_ds(repr(value)) else format_number_as_ds(value)
    units = [coded_item(unit)]
    measured = item(MeasurementUnitsCodeSequence=units, FloatingPointValue=value, NumericValue=written)
    return _item(Relation.CONTAINS, "NUM", name, children, MeasuredValueSequence=[measured])


def image(relation: Relation, name: Code, sop_class_uid: str, sop_instance_uid: str) -> Item:
    """A reference to an image."""
    referred = item(ReferencedSOPClassUID=sop_class_uid, ReferencedSOPInstanceUID=sop_instance_uid)
    return _item(relation, "IMAGE", name, ReferencedSOPSequence=[referred])


def polyline(name: Code, points: NDArray[np.float64], source: Item) -> Item:
    """A line on an image, (n, 2) of column and row, selected from the image of `source`."""
    return _item(
        Relation.CONTAINS, "SCOORD", name, [source], GraphicData=points.ravel().tolist(), GraphicType="POLYLINE"
    )


def container(name: Code, children: Sequence[Item], template: str = "") -> Item:
    """What holds others; `template` is the TID that it follows."""
    follows = {"ContentTemplateSequence": [_template(template)]} if template else {}
    return _item(Relation.CONTAINS, "CONTAINER", name, children, ContinuityOfContent="CONTINUOUS", **follows)


def put_root(document: Dataset, title: Code, template: str, children: Sequence[Item]) -> None:
    """Make a data set the root of a tree: a container that is named as the document is (PS3.3 C.17.3)."""
    concept, follows = [coded_item(title)], [_template(template)]
    put(document, ValueType="CONTAINER", ConceptNameCodeSequence=concept, ContinuityOfContent="CONTINUOUS")
    put(document, ContentTemplateSequence=follows, ContentSequence=children)


@lru_cache(maxsize=8)
def _template(template: str) -> Item:
    return item(MappingResource="DCMR", TemplateIdentifier=template)


@lru_cache(maxsize=256)
def _sentence(relation: Relation, value: str, scheme: str, meaning: str, words: str) -> Item:
    return _item(relation, "TEXT", Code(value, scheme, meaning), TextValue=words)


def _item(
    relation: Relation,
    value_type: str,
    name: Code,
    children: Sequence[Item] = (),
    **value: str | float | Sequence[float] | Sequence[Item],
) -> Item:
    below = {"ContentSequence": children} if children else {}
    concept = [coded_item(name)]
    return item(RelationshipType=relation, ValueType=value_type, ConceptNameCodeSequence=concept, **value, **below)
