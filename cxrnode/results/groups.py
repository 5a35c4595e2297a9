"""The groups of a report: one for each image (TID 1501), and after it one for each of its regions (TID 1410)."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.coding import Code

from cxrnode.finding import Algorithm, Finding, Outcome, Reading, Span
from cxrnode.headers.header import text
from cxrnode.results import codes
from cxrnode.results.content import Relation, coded_value, container, image, number, polyline, sentence, uid
from cxrnode.results.context import ResultContext
from cxrnode.results.evidence import referable
from cxrnode.results.tracking import region_name, region_uid
from cxrnode.results.words import outcome_sentence, plain, regions_sentence
from cxrnode.results.written import Item
from cxrnode.uids import Role

NUMBERS = {"series": "SeriesNumber", "instance": "InstanceNumber"}


def groups_of(place: int, source: Dataset, reading: Reading, context: ResultContext) -> Iterator[Item]:
    """The groups of the report's image `place`, which counts from 1: its own and its regions'."""
    yield _image_group(place, source, reading, context)
    yield from _region_groups(source, reading, context)


def comment(words: str) -> Item:
    """A sentence in a report."""
    return sentence(Relation.CONTAINS, codes.COMMENT, words)


def _image_group(place: int, source: Dataset, reading: Reading, context: ResultContext) -> Item:
    """One image's TID 1501 group, with a tracking UID of its own; rows 11 and 12 hold the verdict and the words.

    Beside regions it says in row 10c which part of the image the probability is of. Judges that count the outlines of
    a whole report, and hold every group for a region's when there is just one, find no such report then.
    """
    tracking_uid = context.identity.uid(Role.TRACKING, reading.sop_instance_uid)
    content = [
        *_tracked(tracking_uid, _image_name(place, source)),
        _OF_PNEUMONIA,
        _IN_THE_LUNG,
        *_algorithm(context.algorithm),
        *(() if reading.finding is None else _measurements(reading.finding)),
        coded_value(Relation.CONTAINS, codes.PNEUMONIA, codes.EVALUATIONS[reading.outcome]),
    ]
    if referable(source):
        content.append(image(Relation.CONTAINS, codes.SOURCE_OF_MEASUREMENT, *_address(source)))
        if reading.finding is not None and reading.regions:
            content.append(_outlined(source, _edges(source, reading.finding.heatmap.span)))
    content += [comment(words) for words in _sentences(source, reading, context)]
    return container(codes.MEASUREMENT_GROUP, content, "1501")


def _region_groups(source: Dataset, reading: Reading, context: ResultContext) -> Iterator[Item]:
    """A TID 1410 group for each region: its outline on the source, its side, its peak, a tracking UID of its own.

    None where the source cannot be referred to: an outline is on an image, or it says nothing.
    """
    if reading.finding is None or not referable(source):
        return
    kind = codes.MAPS[reading.finding.heatmap.method]
    for place, region in enumerate(reading.regions, 1):
        side = codes.SIDES[region.side] if region.side else None
        which = [coded_value(Relation.MODIFIER, codes.LATERALITY, side)] if side else []
        content = [
            *_tracked(region_uid(reading, place, context), plain(region_name(place, region))),
            _OF_PNEUMONIA,
            coded_value(Relation.MODIFIER, codes.FINDING_SITE, codes.LUNG, which),
            *_algorithm(context.algorithm),
            number(kind, region.peak, codes.NO_UNITS, [_derived(codes.MAXIMUM)]),
            coded_value(Relation.CONTAINS, codes.GEOMETRIC_PURPOSE, codes.OUTLINE),
            _outlined(source, region.outline),
        ]
        yield container(codes.MEASUREMENT_GROUP, content, "1410")


def _sentences(source: Dataset, reading: Reading, context: ResultContext) -> Iterator[str]:
    """What is said of an image in words: outcome, where its map points, what is outlined, warnings."""
    yield outcome_sentence(reading, context.algorithm)
    if reading.finding is not None and reading.reason:
        drawn = "draws it all the same, as this site has set" if context.draw_not_localised else "does not show it"
        yield f"{reading.reason} The overlay {drawn}."
    if reading.outcome is Outcome.POSITIVE:
        yield regions_sentence(len(reading.regions) if referable(source) else 0)
    yield from reading.warnings


def _outlined(source: Dataset, outline: NDArray[np.float64]) -> Item:
    return polyline(codes.IMAGE_REGION, outline, image(Relation.SELECTED_FROM, codes.SOURCE, *_address(source)))


def _edges(source: Dataset, span: Span) -> NDArray[np.float64]:
    """The outline of the part of an image that the model has read, as `Region.outline` is."""
    corners = [(span.left, span.top), (span.right, span.top), (span.right, span.bottom), (span.left, span.bottom)]
    return np.array([*corners, corners[0]]) * np.array([source.Columns, source.Rows], dtype=np.float64)


def _measurements(finding: Finding) -> list[Item]:
    """Probability, the heat map's raw peak, and the share of its total that lies in the lungs.

    Each as text (DS) and as the very double (FloatingPointValue).
    """
    kind = codes.MAPS[finding.heatmap.method]
    found = [
        number(codes.PROBABILITY, float(finding.probability), codes.NO_UNITS),
        number(kind, float(finding.heatmap.peak), codes.NO_UNITS, [_derived(codes.MAXIMUM)]),
    ]
    if finding.lung_share is not None:
        of_the_lungs = [_derived(codes.TOTAL), _IN_THE_LUNG]
        found.append(number(kind, float(finding.lung_share), codes.RATIO, of_the_lungs))
    return found


def _derived(how: Code) -> Item:
    return coded_value(Relation.MODIFIER, codes.DERIVATION, how)


def _tracked(tracking_uid: str, name: str) -> Sequence[Item]:
    return (
        sentence(Relation.CONTEXT, codes.TRACKING_IDENTIFIER, name),
        uid(Relation.CONTEXT, codes.TRACKING_UID, tracking_uid),
    )


@lru_cache(maxsize=16)
def _algorithm(algorithm: Algorithm) -> tuple[Item, ...]:
    """TID 4019: the model, with everything that a probability depends on as parameters."""
    parameters = {
        "operating point": algorithm.operating_point,
        "prevalence": algorithm.prevalence,
        "prevalence set by": "the card" if algorithm.card_prevalence is None else "the site",
        "training prevalence": algorithm.card_prevalence or algorithm.prevalence,
        "weights sha256": algorithm.weights_sha256,
        "model card sha256": algorithm.digest,
    }
    return (
        sentence(Relation.MODIFIER, codes.ALGORITHM_NAME, algorithm.name),
        sentence(Relation.MODIFIER, codes.ALGORITHM_VERSION, algorithm.version),
        *(
            sentence(Relation.MODIFIER, codes.ALGORITHM_PARAMETERS, f"{name} = {value}")
            for name, value in parameters.items()
        ),
        coded_value(Relation.MODIFIER, codes.ALGORITHM_FAMILY, codes.ARTIFICIAL_INTELLIGENCE),
    )


_OF_PNEUMONIA = coded_value(Relation.CONTAINS, codes.FINDING, codes.PNEUMONIA)
_IN_THE_LUNG = coded_value(Relation.MODIFIER, codes.FINDING_SITE, codes.LUNG)


def _address(source: Dataset) -> tuple[str, str]:
    return str(source.SOPClassUID), str(source.SOPInstanceUID)


def _image_name(number: int, source: Dataset) -> str:
    """What a person calls the image: its number here, and its series' and its own number in the study."""
    numbers = [f"{word} {text(source, keyword)}" for word, keyword in NUMBERS.items() if text(source, keyword)]
    return plain(", ".join([f"Image {number}", *numbers]))
