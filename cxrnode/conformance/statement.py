"""`cxrnode conformance`: the facts of a DICOM conformance statement (PS3.2), read off the code that does the work."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydicom.charset import python_encoding
from pydicom.sr.coding import Code

from cxrnode import __version__
from cxrnode.conformance.content import CodeRow, ContentRow, code_rows, codes_in, content_rows, in_group
from cxrnode.conformance.network import Named, Network, named, network
from cxrnode.conformance.objects import PRESENCE, SOURCE, VARIED, Attribute, ModuleTable, tables
from cxrnode.conformance.specimens import WITHDRAWAL, Specimen
from cxrnode.conformance.variations import Varied, vary
from cxrnode.deliver import contexts_for
from cxrnode.family import Family
from cxrnode.headers.eligible import IMAGE_CLASSES
from cxrnode.receiving.correction import CORRECTABLE
from cxrnode.settings import Settings

KINDS: dict[str, str] = {
    Family.REPORT: "One a study and round: outcome, probability and regions of each image (TID 1500)",
    Family.OVERLAY: "One an image: radiograph, heat map and banner in colour, for every viewer",
    Family.PRESENTATION: "One an image: its regions as graphics that a reader can switch off",
    Family.SEGMENTATION: "One an image: its regions as binary segments on the radiograph's own grid",
    Family.MAP: "One an image: the heat map as 16 bit greys",
    Family.KEY_OBJECTS: "One a study and round: its positive images (TID 2010)",
    WITHDRAWAL: "One a round that `cxrnode withdraw` rejects, for each destination that has results of it (TID 2010)",
}
PARTS = ("node", "receiving", "rules", "results", "delivery")
"""The tables of the settings that change what is said here, or how the node behaves on the network."""


DEFINED_TERM = re.compile(r"(ISO_IR|ISO 2022 IR) \d+|GB\w+")
"""Of Specific Character Set (PS3.3 C.12.1.1.2); pydicom knows misspelt ones too."""


@dataclass(frozen=True)
class Kind:
    """One kind of object that is made: what it is, when there is one, how it is sent, what is in it."""

    name: str
    description: str
    sop_class: Named
    transfer_syntaxes: tuple[Named, ...]
    outcomes: tuple[str, ...]
    modules: tuple[ModuleTable, ...]
    content: tuple[ContentRow, ...]


@dataclass(frozen=True)
class Statement:
    """Everything in the statement that changes with the code or the settings."""

    version: str
    settings: dict[str, dict[str, object]]
    receivers: tuple[dict[str, object], ...]
    """those beside the one of the table receiving"""
    destinations: tuple[dict[str, object], ...]
    network: Network
    reads: tuple[Named, ...]
    kinds: tuple[Kind, ...]
    codes: tuple[CodeRow, ...]
    copied: dict[str, tuple[str, ...]]
    """the attributes that are copied from the source image, each with the kinds of object that have it"""
    beyond: dict[str, tuple[str, ...]]
    """the attributes that no module of the IOD has, likewise"""
    private: tuple[str, ...]
    correctable: tuple[str, ...]
    """the attributes in which another copy of a known instance may differ and be a correction"""
    character_sets: tuple[str, ...]


def conformance(settings: Settings, *, as_json: bool) -> str:
    """The statement of a node with these settings, as Markdown or as JSON."""
    told = statement(settings)
    return json.dumps(asdict(told), indent=2) + "\n" if as_json else as_markdown(told)


def statement(settings: Settings) -> Statement:
    """What a node with these settings accepts, negotiates, makes and sends."""
    varied = vary(settings)
    foreign = {code for film in varied.films for _, code in codes_in(film)}
    kinds = tuple(_kind(name, varied, foreign) for name in dict.fromkeys(one.kind for one in varied.base))
    elements = [element for made in varied.every for element in made.dataset.iterall()]
    return Statement(
        version=__version__,
        settings=settings.model_dump(mode="json", include={*PARTS}, exclude={"node": {"state_dir"}}),
        receivers=tuple(one.model_dump(mode="json") for one in settings.receivers),
        destinations=tuple(one.model_dump(mode="json") for one in settings.destinations),
        network=network(settings),
        reads=tuple(named(uid) for uid in sorted(IMAGE_CLASSES)),
        kinds=kinds,
        codes=tuple(code_rows(varied.every, foreign)),
        copied=_where(kinds, lambda _table, attribute: attribute.source == "COPY"),
        beyond=_where(kinds, lambda table, _attribute: not table.name),
        private=tuple(sorted({str(element.tag) for element in elements if element.tag.is_private})),
        correctable=tuple(sorted(CORRECTABLE)),
        character_sets=tuple(sorted(filter(DEFINED_TERM.fullmatch, python_encoding))),
    )


def as_markdown(told: Statement) -> str:
    """The statement as a document."""
    pages = Environment(
        loader=PackageLoader("cxrnode", "pages"),
        autoescape=False,  # noqa: S701  Markdown of the program's own tables
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    accepted = [one for contexts in told.network.accepts for one in contexts.sop_classes]
    words = {"accepted_classes": accepted, "in_group": in_group, "presence": PRESENCE, "source": SOURCE}
    return pages.get_template("conformance.md").render(vars(told) | words)


def _kind(name: str, varied: Varied, foreign: set[Code]) -> Kind:
    """What there is to say of one kind of object."""
    objects, base = _of(name, varied.every), _of(name, varied.base)
    contexts = contexts_for([one.dataset for one in base])
    ((sop_class, _), *_) = contexts
    return Kind(
        name=name,
        description=KINDS[name],
        sop_class=named(sop_class),
        transfer_syntaxes=tuple(named(syntax) for _, syntax in sorted(contexts)),
        outcomes=tuple(dict.fromkeys(one.outcome.value for one in objects)),
        modules=tuple(tables(objects, base, {word: _of(name, varied.by[word]) for word in VARIED}, varied.films[0])),
        content=tuple(content_rows(objects, foreign)),
    )


def _of(kind: str, specimens: Sequence[Specimen]) -> list[Specimen]:
    return [one for one in specimens if one.kind == kind]


def _where(kinds: Sequence[Kind], true: Callable[[ModuleTable, Attribute], bool]) -> dict[str, tuple[str, ...]]:
    """The attributes at the top of a data set of which it is true, each with the kinds of object that have it."""
    found: dict[str, list[str]] = {}
    for kind in kinds:
        for table in kind.modules:
            for one in table.attributes:
                if len(one.keywords) == 1 and true(table, one):
                    found.setdefault(f"{one.name} {one.tag}", []).append(kind.name)
    return {name: tuple(names) for name, names in found.items()}
