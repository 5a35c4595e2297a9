"""A report's tree as highdicom builds it, template by template: what the results write by themselves equals it."""

from collections.abc import Iterator, Sequence

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from numpy.typing import NDArray
from pydicom import Dataset

from cxrnode.finding import Algorithm, Finding, Outcome, Reading, Span
from cxrnode.headers.header import items, text
from cxrnode.results import codes
from cxrnode.results.context import ResultContext
from cxrnode.results.evidence import referable
from cxrnode.results.inherit import is_code
from cxrnode.results.stamp import MANUFACTURER
from cxrnode.results.tracking import region_name, region_uid
from cxrnode.results.words import (
    INTENDED_USE,
    NOTICE,
    outcome_sentence,
    plain,
    population_sentence,
    prevalence_sentence,
    regions_sentence,
    study_sentence,
)
from cxrnode.uids import Role

NUMBERS = {"series": "SeriesNumber", "instance": "InstanceNumber"}

Group = MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations


def groups_of(number: int, source: Dataset, reading: Reading, context: ResultContext) -> Iterator[Group]:
    """The groups of the report's image `number`, which counts from 1: its own and its regions'."""
    yield _image_group(number, source, reading, context)
    yield from _region_groups(source, reading, context)


def comment(sentence: str) -> TextContentItem:
    """A sentence in a report."""
    return TextContentItem(codes.COMMENT, plain(sentence), RelationshipTypeValues.CONTAINS)


def _image_group(
    number: int, source: Dataset, reading: Reading, context: ResultContext
) -> MeasurementsAndQualitativeEvaluations:
    """One image's TID 1501 group, with a tracking UID of its own; rows 11 and 12 hold the verdict and the words.

    Beside regions it says in row 10c which part of the image the probability is of. Judges that count the outlines of
    a whole report, and hold every group for a region's when there is just one, find no such report then.
    """
    tracking_uid = context.identity.uid(Role.TRACKING, reading.sop_instance_uid)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid, _image_name(number, source)),
        finding_type=codes.PNEUMONIA,
        finding_sites=[FindingSite(codes.LUNG)],
        algorithm_id=_algorithm(context.algorithm),
        measurements=None if reading.finding is None else _measurements(reading.finding),
        qualitative_evaluations=[QualitativeEvaluation(codes.PNEUMONIA, codes.EVALUATIONS[reading.outcome])],
        source_images=[SourceImageForMeasurementGroup(*_address(source))] if referable(source) else None,
    )
    if reading.finding is not None and reading.regions and referable(source):
        group[0].ContentSequence.append(_outlined(source, _edges(source, reading.finding.heatmap.span)))
    group[0].ContentSequence.extend(comment(sentence) for sentence in _sentences(source, reading, context))
    return group


def _region_groups(
    source: Dataset, reading: Reading, context: ResultContext
) -> Iterator[PlanarROIMeasurementsAndQualitativeEvaluations]:
    """A TID 1410 group for each region: its outline on the source, its side, its peak, a tracking UID of its own.

    None where the source cannot be referred to: an outline is on an image, or it says nothing.
    """
    if reading.finding is None or not referable(source):
        return
    kind = codes.MAPS[reading.finding.heatmap.method]
    for number, region in enumerate(reading.regions, 1):
        side = codes.SIDES[region.side] if region.side else None
        yield PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(
                region_uid(reading, number, context), plain(region_name(number, region))
            ),
            referenced_region=_outlined(source, region.outline),
            finding_type=codes.PNEUMONIA,
            finding_sites=[FindingSite(codes.LUNG, laterality=side)],
            algorithm_id=_algorithm(context.algorithm),
            measurements=[Measurement(kind, region.peak, codes.NO_UNITS, derivation=codes.MAXIMUM)],
            geometric_purpose=codes.OUTLINE,
        )


def _sentences(source: Dataset, reading: Reading, context: ResultContext) -> Iterator[str]:
    """What is said of an image in words: outcome, where its map points, what is outlined, warnings."""
    yield outcome_sentence(reading, context.algorithm)
    if reading.finding is not None and reading.reason:
        drawn = "draws it all the same, as this site has set" if context.draw_not_localised else "does not show it"
        yield f"{reading.reason} The overlay {drawn}."
    if reading.outcome is Outcome.POSITIVE:
        yield regions_sentence(len(reading.regions) if referable(source) else 0)
    yield from reading.warnings


def _outlined(source: Dataset, outline: NDArray[np.float64]) -> ImageRegion:
    return ImageRegion(GraphicTypeValues.POLYLINE, outline, SourceImageForRegion(*_address(source)))


def _edges(source: Dataset, span: Span) -> NDArray[np.float64]:
    """The outline of the part of an image that the model has read, as `Region.outline` is."""
    corners = [(span.left, span.top), (span.right, span.top), (span.right, span.bottom), (span.left, span.bottom)]
    return np.array([*corners, corners[0]]) * np.array([source.Columns, source.Rows], dtype=np.float64)


def _measurements(finding: Finding) -> list[Measurement]:
    """Probability, the heat map's raw peak, and the share of its total that lies in the lungs.

    Each as text (DS) and as the very double (FloatingPointValue).
    """
    peak = Measurement(
        codes.MAPS[finding.heatmap.method], float(finding.heatmap.peak), codes.NO_UNITS, derivation=codes.MAXIMUM
    )
    found = [Measurement(codes.PROBABILITY, float(finding.probability), codes.NO_UNITS), peak]
    if finding.lung_share is not None:
        share = Measurement(
            codes.MAPS[finding.heatmap.method],
            float(finding.lung_share),
            codes.RATIO,
            derivation=codes.TOTAL,
            finding_sites=[FindingSite(codes.LUNG)],
        )
        found.append(share)
    return found


def _algorithm(algorithm: Algorithm) -> AlgorithmIdentification:
    """TID 4019: the model, with everything that a probability depends on as parameters."""
    parameters = {
        "operating point": algorithm.operating_point,
        "prevalence": algorithm.prevalence,
        "prevalence set by": "the card" if algorithm.card_prevalence is None else "the site",
        "training prevalence": algorithm.card_prevalence or algorithm.prevalence,
        "weights sha256": algorithm.weights_sha256,
        "model card sha256": algorithm.digest,
    }
    return AlgorithmIdentification(
        plain(algorithm.name),
        plain(algorithm.version),
        [f"{name} = {value}" for name, value in parameters.items()],
        family=codes.ARTIFICIAL_INTELLIGENCE,
    )


def _address(source: Dataset) -> tuple[str, str]:
    return str(source.SOPClassUID), str(source.SOPInstanceUID)


def _image_name(number: int, source: Dataset) -> str:
    """What a person calls the image: its number here, and its series' and its own number in the study."""
    numbers = [f"{word} {text(source, keyword)}" for word, keyword in NUMBERS.items() if text(source, keyword)]
    return plain(", ".join([f"Image {number}", *numbers]))


def tree(sources: Sequence[Dataset], readings: Sequence[Reading], context: ResultContext) -> Dataset:
    """The root container of TID 1500 of these sources and readings."""
    told = [pair for pair in zip(sources, readings, strict=True) if pair[1].outcome in codes.EVALUATIONS]
    groups = [group for number, one in enumerate(told, 1) for group in groups_of(number, *one, context)]
    device = _observer(context.algorithm.device_uid, context.station_name, context.algorithm.name)
    root: Dataset = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=device),
        procedure_reported=_procedures_reported(sources[0]),
        imaging_measurements=groups,
        title=codes.IMAGING_MEASUREMENT_REPORT,
    )[0]
    summary = ContainerContentItem(codes.QUALITATIVE_EVALUATIONS, relationship_type=RelationshipTypeValues.CONTAINS)
    sentences = (
        study_sentence([reading for _, reading in told]),
        f"{NOTICE}. {INTENDED_USE}",
        population_sentence(context.algorithm),
        prevalence_sentence(context.algorithm),
    )
    summary.ContentSequence = ContentSequence([comment(sentence) for sentence in sentences])
    root.ContentSequence.append(summary)
    return root


def _procedures_reported(source: Dataset) -> list[CodedConcept]:
    """The imaging procedure as the source codes it, else just that it was one (CID 100)."""
    found = [item for item in items(source, "ProcedureCodeSequence") if is_code(item)]
    reported = [codes.code_of(item) for item in found] or [codes.IMAGING_PROCEDURE]
    return [CodedConcept.from_code(code) for code in reported]


def _observer(device_uid: str, station_name: str, model_name: str) -> ObserverContext:
    """This node with the model that it runs, as the observer of what a document says."""
    device = DeviceObserverIdentifyingAttributes(
        uid=device_uid, name=plain(station_name), manufacturer_name=MANUFACTURER, model_name=plain(model_name)
    )
    return ObserverContext(CodedConcept.from_code(codes.DEVICE), device)
