"""The content trees and the codes of the objects that this node makes, collected from the objects themselves."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from cxrnode.conformance.specimens import Specimen
from cxrnode.headers.header import items, text
from cxrnode.results.codes import code_of

CONCEPT, MEASUREMENT = "concept name", "measurement"

CONTEXT_GROUPS = {
    "ContributingEquipmentSequence > PurposeOfReferenceCodeSequence": 7005,
    "SourceImageSequence > PurposeOfReferenceCodeSequence": 7202,
    "DerivationCodeSequence": 7203,
    "DerivationImageSequence > DerivationCodeSequence": 7203,
    "SegmentationAlgorithmIdentificationSequence > AlgorithmFamilyCodeSequence": 7162,
    "SegmentSequence > AnatomicRegionSequence": 4,
    "AnatomicRegionSequence > AnatomicRegionModifierSequence": 2,
    "SegmentSequence > SegmentedPropertyCategoryCodeSequence": 7150,
    MEASUREMENT: 218,
    "MeasuredValueSequence > MeasurementUnitsCodeSequence": 7181,
    "value of Procedure reported": 100,
    "value of Observer Type": 270,
    "value of Algorithm Family": 7162,
    "value of Laterality": 244,
    "value of Derivation": 7464,
    "value of Geometric purpose of region": 219,
    "value of Document Title Modifier": 7011,
    "title of report": 7021,
    "title of keyobjects": 7010,
    "title of withdrawal": 7010,
}
"""Which group the IOD or the template asks for, by where the code is used; a test holds each code to its group."""


@dataclass
class ContentRow:
    """One content item of a document; equal ones, of all objects of its kind, are one row."""

    relationship: str
    value_type: str
    concept: str
    template: str
    depth: int
    values: dict[str, None] = field(default_factory=dict)
    outcomes: dict[str, None] = field(default_factory=dict)


@dataclass(eq=False)
class _Node:
    row: ContentRow
    below: dict[tuple[str, ...], "_Node"] = field(default_factory=dict)


@dataclass
class CodeRow:
    """One code, where it is used, and the context groups that are asked for there."""

    code: Code
    uses: dict[str, None] = field(default_factory=dict)

    @property
    def groups(self) -> list[int]:
        """The context groups asked for where it is used."""
        return sorted({CONTEXT_GROUPS[use] for use in self.uses if use in CONTEXT_GROUPS})


def content_rows(specimens: Sequence[Specimen], foreign: Container[Code]) -> list[ContentRow]:
    """The items of the content trees of these objects of one kind, each below its parent; none where there is none.

    `foreign` are codes that a film brought with it.
    """
    top: dict[tuple[str, ...], _Node] = {}

    def look(item: Dataset, nodes: dict[tuple[str, ...], _Node], depth: int, outcome: str) -> None:
        template = next((text(one, "TemplateIdentifier") for one in items(item, "ContentTemplateSequence")), "")
        key = (text(item, "RelationshipType"), text(item, "ValueType"), _concept(item), template)
        node = nodes.setdefault(key, _Node(ContentRow(*key, depth)))
        node.row.outcomes[outcome] = None
        node.row.values |= dict.fromkeys(_values(item, foreign))
        for child in items(item, "ContentSequence"):
            look(child, node.below, depth + 1, outcome)

    for specimen in specimens:
        if "ContentSequence" in specimen.dataset:
            look(specimen.dataset, top, 0, specimen.outcome.value)
    return list(_in_order(top))


def code_rows(specimens: Sequence[Specimen], foreign: Container[Code]) -> list[CodeRow]:
    """Every code in these objects that is not foreign, by scheme and value."""
    rows: dict[Code, CodeRow] = {}
    for specimen in specimens:
        for use, code in codes_in(specimen.dataset, kind=specimen.kind):
            if code not in foreign:
                rows.setdefault(code, CodeRow(code)).uses[use] = None
    return sorted(rows.values(), key=lambda row: (row.code.scheme_designator, row.code.value))


def codes_in(dataset: Dataset, parent: str = "", kind: str = "") -> Iterator[tuple[str, Code]]:
    """Every code of a data set, each with where it is used."""
    for element in dataset:
        for item in element.value if element.VR == "SQ" else ():
            if "CodeValue" in item:
                yield _use(dataset, element.keyword, parent, kind), code_of(item)
            yield from codes_in(item, element.keyword, kind)


def in_group(code: Code, group: int) -> bool:
    """Whether the context group has the code, as far as pydicom's copy of PS3.16 knows."""
    members = getattr(standard, f"cid{group}")
    return any(code == getattr(members, name) for name in members.dir())


def shown(code: Code) -> str:
    """A code as the standard's text writes one."""
    return f"({code.value}, {code.scheme_designator}, {code.meaning})"


def _in_order(nodes: dict[tuple[str, ...], _Node]) -> Iterator[ContentRow]:
    for node in nodes.values():
        yield node.row
        yield from _in_order(node.below)


def _use(dataset: Dataset, keyword: str, parent: str, kind: str) -> str:
    if keyword == "ConceptCodeSequence":
        return f"value of {dataset.ConceptNameCodeSequence[0].CodeMeaning}"
    if keyword == "ConceptNameCodeSequence":
        concept = MEASUREMENT if dataset.ValueType == "NUM" else CONCEPT
        return concept if parent else f"title of {kind}"
    return f"{parent} > {keyword}" if parent and parent != "ContentSequence" else keyword


def _concept(item: Dataset) -> str:
    return next((shown(code_of(one)) for one in items(item, "ConceptNameCodeSequence")), "")


def _values(item: Dataset, foreign: Container[Code]) -> Iterator[str]:
    """What can be said of a value whatever the film: its codes, its unit, its shape."""
    for code in map(code_of, items(item, "ConceptCodeSequence")):
        yield "the source image's own" if code in foreign else shown(code)
    for value in items(item, "MeasuredValueSequence"):
        yield from (f"in {shown(code_of(unit))}" for unit in items(value, "MeasurementUnitsCodeSequence"))
    if "GraphicType" in item:
        yield text(item, "GraphicType")
