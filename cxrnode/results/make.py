"""One round's result objects: every family that somebody wants of its images, all from the same readings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydicom import Dataset

from cxrnode.family import MADE_OF, Family
from cxrnode.finding import Outcome, Reading
from cxrnode.radiograph import Film
from cxrnode.results.context import ResultContext
from cxrnode.results.evidence import referable
from cxrnode.results.keyobjects import build_key_objects
from cxrnode.results.map import build_map
from cxrnode.results.overlay import build_overlay
from cxrnode.results.presentation import build_presentation
from cxrnode.results.report import build_report
from cxrnode.results.segmentation import build_segmentation
from cxrnode.stopwatch import stage


@dataclass(frozen=True, eq=False)
class Told:
    """An image and what is said of it; `radiograph` is None where none was read."""

    source: Dataset
    reading: Reading
    radiograph: Film | None = None


@dataclass(frozen=True, eq=False)
class Made:
    """One object; `outcomes` are those of the images that it is about."""

    family: Family
    outcomes: frozenset[Outcome]
    dataset: Dataset


def make(images: Sequence[Told], wanted: Mapping[Outcome, frozenset[Family]], context: ResultContext) -> Iterator[Made]:
    """One report of all images, what is wanted of each image, and one selection of the positives.

    Nothing when none is a frontal chest radiograph. No object depends on which others are made.
    """
    about = frozenset(image.reading.outcome for image in images) - {Outcome.NOT_APPLICABLE}
    if not about:
        return
    sources, readings = [image.source for image in images], [image.reading for image in images]
    if any(Family.REPORT in wanted[outcome] for outcome in about):
        with stage(Family.REPORT):
            report = build_report(sources, readings, context)
        yield Made(Family.REPORT, about, report)
    for image in images:
        outcome = image.reading.outcome
        for family in MADE_OF[outcome]:
            if family not in wanted[outcome]:
                continue
            with stage(family):
                dataset = _picture(family, image, context)
            if dataset is not None:
                yield Made(family, frozenset({outcome}), dataset)
    if Family.KEY_OBJECTS in wanted[Outcome.POSITIVE]:
        with stage(Family.KEY_OBJECTS):
            selection = build_key_objects(sources, readings, context)
        if selection is not None:
            yield Made(Family.KEY_OBJECTS, frozenset({Outcome.POSITIVE}), selection)


def _picture(family: Family, image: Told, context: ResultContext) -> Dataset | None:
    """The object of one family about one image; None where there is nothing to show."""
    match family:
        case Family.OVERLAY if image.radiograph is not None:
            return build_overlay(image.source, image.radiograph, image.reading, context)
        case Family.PRESENTATION if image.reading.regions and referable(image.source):
            return build_presentation(image.source, image.reading, context)
        case Family.SEGMENTATION if image.reading.regions and referable(image.source):
            return build_segmentation(image.source, image.reading, context)
        case Family.MAP if image.reading.finding is not None and image.reading.finding.heatmap.values.any():
            return build_map(image.source, image.reading, context)
        case _:
            return None
