"""`cxrnode conformance --samples DIR`: the capability sheet of an IHE AIR Evidence Creator, with objects to look at."""

from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from cxrnode import __version__
from cxrnode.conformance.specimens import WITHDRAWAL, Case, Specimen, bumps, film, of_outcome
from cxrnode.conformance.statement import statement
from cxrnode.family import Family
from cxrnode.finding import Outcome
from cxrnode.render import Sources, capability_html, rendered
from cxrnode.settings import Settings

ROWS, COLUMNS = 960, 880
SPOTS = ((0.6, 0.3), (0.35, 0.72))
"""Where the made-up map is strong: row and column as fractions."""


@dataclass(frozen=True)
class Sample:
    """One object with its files' addresses relative to the sheet; `view` is its picture or page."""

    outcome: str
    kind: str
    file: str
    view: str


def write_samples(settings: Settings, out: Path) -> Path:
    """Write films, the objects that a node with these settings makes of them, what they look like, and the sheet.

    The films are drawn and the answers made up; no model looks at them. Returns the sheet's path. Raises ModelMismatch
    when there is no such model as the settings name.
    """
    from models.card import find
    from models.ensemblecard import card_of

    card = card_of(find(settings.model.name, settings.model.zoo))
    algorithm = card.algorithm(settings.model.prevalence)
    samples = []
    for outcome in Outcome:
        source = film_of(outcome)
        case = Case(source, algorithm, settings, bumps(*SPOTS), predecessor=None)
        if made := of_outcome(case, outcome):
            samples += _write(source, made, out / outcome)
    sheet = out / "capability.html"
    told = statement(settings)
    facts = {"kinds": {kind.name: kind for kind in told.kinds}, "ae_title": settings.node.ae_title}
    page = capability_html(**facts, version=__version__, card=card, algorithm=algorithm, samples=samples)
    sheet.write_text(page, encoding="utf-8")
    return sheet


def film_of(outcome: Outcome) -> Dataset:
    """A drawn film with the reason in it why it is refused or fails."""
    made = film(outcome.value, ROWS, COLUMNS)
    if outcome is Outcome.REFUSED:
        made.PatientID = None
    if outcome is Outcome.FAILED:
        made.PixelData = made.PixelData[: len(made.PixelData) // 2]
    return made


def _write(source: Dataset, made: list[Specimen], folder: Path) -> list[Sample]:
    """One outcome's film and objects, each object with what it looks like."""
    folder.mkdir(parents=True, exist_ok=True)
    source.save_as(folder / "source.dcm", enforce_file_format=True)
    sources = Sources([source])
    found = []
    for one in made:
        family = Family.KEY_OBJECTS if one.kind == WITHDRAWAL else Family(one.kind)
        suffix, content = rendered(one.dataset, family, sources)
        (folder / f"{one.kind}.dcm").write_bytes(one.content)
        (folder / f"{one.kind}{suffix}").write_bytes(content)
        address = f"{folder.name}/{one.kind}"
        found.append(Sample(one.outcome, one.kind, f"{address}.dcm", f"{address}{suffix}"))
    return found
