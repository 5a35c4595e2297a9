"""What is in the objects that this node makes, and what each value follows from: found by making them and looking."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.datadict import dictionary_description, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.tag import BaseTag

from cxrnode.conformance.content import shown
from cxrnode.conformance.specimens import Specimen
from cxrnode.results.codes import CODE, code_of
from cxrnode.results.iod import Keywords, Module, modules

TREE = "ContentSequence"
"""The content tree of a document has a table of its own."""
LONGEST = 100

PRESENCE = {
    "ALWAYS": "in every object, with a value",
    "VNAP": "in every object, sometimes without a value",
    "ANAP": "not in every object",
    "EMPTY": "in every object, never with a value",
}
SOURCE = {
    "FIXED": "the value shown",
    "COPY": "the source image's own, unchanged",
    "IMAGE": "follows from the source image",
    "RESULT": "follows from what the model answered",
    "MODEL": "follows from the model's card",
    "CONFIG": "follows from the node's settings",
    "TIME": "when the analysis began",
    "ROUND": "the report of the round before",
    "AUTO": "a UID made from all of these",
}
VARIED = ("IMAGE", "RESULT", "MODEL", "CONFIG", "TIME", "ROUND")
"""What is varied, each by itself, to see which values follow."""

Flat = dict[Keywords, dict[str, None]]
"""the different values that an attribute has"""


@dataclass(frozen=True)
class Attribute:
    """One attribute of one kind of object; PRESENCE and SOURCE say what their words mean."""

    keywords: Keywords
    name: str
    tag: str
    vr: str
    type: str
    presence: str
    source: str
    value: str


@dataclass(frozen=True)
class ModuleTable:
    """A module of the IOD that has attributes in the objects; without a name: attributes that no module of it has."""

    name: str
    entity: str
    usage: str
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, eq=False)
class Changes:
    """The values in objects of one film, as they are and as each of VARIED changes them."""

    base: Flat
    varied: Mapping[str, Flat]
    film: Flat

    def source(self, keywords: Keywords, vr: str) -> str:
        """What the value follows from, in the words of SOURCE."""
        base = self.base.get(keywords)
        found = [word for word in VARIED if self.varied[word].get(keywords) != base]
        same = (keywords, keywords[-1:], (keywords[-1].removeprefix("Referenced"),))
        if found == ["IMAGE"] and base in [self.film.get(one) for one in same]:
            return "COPY"
        if vr == "UI" and len(found) > 1:
            return "AUTO"
        return ", ".join(found) or "FIXED"


def tables(
    objects: Sequence[Specimen], base: Sequence[Specimen], varied: Mapping[str, Sequence[Specimen]], film: Dataset
) -> list[ModuleTable]:
    """The attributes of objects of one kind, module by module.

    `objects` are those to look for attributes in. `base` was made of `film`, and each of `varied` differs in one thing.
    """
    datasets = [specimen.dataset for specimen in objects]
    by_word = {word: flat(one.dataset for one in specimens) for word, specimens in varied.items()}
    changes = Changes(flat(one.dataset for one in base), by_word, flat([film]))
    left = _tags(datasets)
    found = []
    for module in (*modules(str(datasets[0].SOPClassUID)), Module("", "", "", {})):
        own = [tag for tag in left if not module.name or (_keyword(tag),) in module.types]
        left = [tag for tag in left if tag not in own]
        if own:
            rows = tuple(_rows(datasets, own, (), module, changes))
            found.append(ModuleTable(module.name, module.entity, module.usage, rows))
    return found


def flat(datasets: Iterable[Dataset]) -> Flat:
    """Every value in these data sets by the keywords that lead to it; a sequence has one where its items are codes."""
    found: Flat = {}

    def look(dataset: Dataset, parents: Keywords) -> None:
        for tag in _tags([dataset]):
            element = dataset[tag]
            keywords = (*parents, _keyword(tag))
            if value := _shown(element):
                found.setdefault(keywords, {})[value] = None
            for item in element.value if element.VR == "SQ" else ():
                look(item, keywords)

    for dataset in datasets:
        look(dataset, ())
    return found


def _rows(
    items: Sequence[Dataset], tags: Iterable[BaseTag], parents: Keywords, module: Module, changes: Changes
) -> Iterator[Attribute]:
    for tag in tags:
        elements = [item[tag] for item in items if tag in item]
        filled = [element for element in elements if not element.is_empty]
        keywords = (*parents, _keyword(tag))
        values = dict.fromkeys(value for element in filled if (value := _shown(element)))
        children = [child for element in filled if element.VR == "SQ" for child in element.value]
        below = list(_rows(children, _tags(children), keywords, module, changes))
        source = changes.source(keywords, elements[0].VR) if values else ""
        if not values and below and all(row.source == "COPY" for row in below):
            source = "COPY"
        yield Attribute(
            keywords=keywords,
            name="private" if tag.is_private else dictionary_description(tag),
            tag=f"({tag.group:04X},{tag.element:04X})",
            vr=elements[0].VR,
            type=module.types.get(keywords, ""),
            presence=_presence(len(items), len(elements), len(filled)),
            source=source,
            value=" or ".join(values)[:LONGEST] if source == "FIXED" and keywords != ("SOPClassUID",) else "",
        )
        yield from below


def _tags(datasets: Sequence[Dataset]) -> list[BaseTag]:
    """The tags in any of these, but those of the content tree and of a code's own value."""
    found = {element.tag for dataset in datasets for element in dataset if element.keyword not in (TREE, *CODE)}
    return sorted(found)


def _keyword(tag: BaseTag) -> str:
    return keyword_for_tag(tag) or str(tag)


def _presence(objects: int, present: int, filled: int) -> str:
    if present < objects:
        return "ANAP"
    if filled == objects:
        return "ALWAYS"
    return "VNAP" if filled else "EMPTY"


def _shown(element: DataElement) -> str:
    """The value as text: of a sequence its codes, if it holds any; empty where there is none."""
    if element.is_empty:
        return ""
    if element.VR == "SQ":
        return " and ".join(dict.fromkeys(shown(code_of(item)) for item in element.value if "CodeValue" in item))
    return "\\".join(map(str, element.value)) if element.VM > 1 else str(element.value)
