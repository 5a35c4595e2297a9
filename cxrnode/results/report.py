"""The report: one Comprehensive 3D SR (TID 1500) a study and round, where a probability becomes a coded finding."""

from collections.abc import Iterator, Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ContainerContentItem,
    ContentSequence,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from cxrnode.finding import Algorithm, Finding, Reading
from cxrnode.header import items, text
from cxrnode.results import codes
from cxrnode.results.context import ResultContext
from cxrnode.results.evidence import evidence, predecessor_documents, referable
from cxrnode.results.inherit import is_code
from cxrnode.results.observer import observer
from cxrnode.results.stamp import new_result
from cxrnode.results.words import (
    INTENDED_USE,
    NOTICE,
    outcome_sentence,
    plain,
    population_sentence,
    prevalence_sentence,
    study_sentence,
)
from cxrnode.uids import Role

CODE_KEYWORDS = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
NUMBERS = {"series": "SeriesNumber", "instance": "InstanceNumber"}


def build_report(sources: Sequence[Dataset], readings: Sequence[Reading], context: ResultContext) -> Dataset:
    """The report on one study: a measurement group (TID 1501) for each image that was read, refused or failed.

    `sources` and `readings` go together, one to one. A not applicable image (a foot in the same study) has no group,
    but is listed as evidence like every other source: C.17.2.3 wants there the full set of instances of the requested
    procedure that the creator is aware of, and a reader can see from it that the image was there and left aside.
    Patient and study are the first source's. Raises ValueError when no reading has anything to report.
    """
    told = [pair for pair in zip(sources, readings, strict=True) if pair[1].outcome in codes.EVALUATIONS]
    if not told:
        raise ValueError("no reading to report: every image is not applicable")

    report = new_result(sources[0], context, Comprehensive3DSRStorage, context.identity.uid(Role.REPORT))
    report.Modality = "SR"
    report.SeriesInstanceUID = context.identity.uid(Role.REPORT_SERIES)
    report.SeriesNumber = 9001
    report.SeriesDescription = "AI report: pneumonia"
    report.InstanceNumber = 1
    report.CompletionFlag = "COMPLETE"
    report.VerificationFlag = "UNVERIFIED"
    report.PreliminaryFlag = "PRELIMINARY"
    report.ReferencedPerformedProcedureStepSequence = []
    report.PerformedProcedureCodeSequence = []
    report.update(evidence(sources))
    if context.predecessor is not None:
        report.PredecessorDocumentsSequence = predecessor_documents(context.predecessor)

    groups = [_group(number, source, reading, context) for number, (source, reading) in enumerate(told, 1)]
    report.update(_tree(sources[0], [reading for _, reading in told], groups, context))
    return report


def _tree(
    source: Dataset,
    readings: Sequence[Reading],
    groups: Sequence[MeasurementsAndQualitativeEvaluations],
    context: ResultContext,
) -> Dataset:
    """The root container of TID 1500; its Qualitative Evaluations (row 12) say what holds of the whole study."""
    device = observer(context.algorithm.device_uid, context.station_name, context.algorithm.name)
    root: Dataset = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=device),
        procedure_reported=_procedures_reported(source),
        imaging_measurements=groups,
        title=codes.IMAGING_MEASUREMENT_REPORT,
    )[0]
    summary = ContainerContentItem(codes.QUALITATIVE_EVALUATIONS, relationship_type=RelationshipTypeValues.CONTAINS)
    sentences = (
        study_sentence(readings),
        f"{NOTICE}. {INTENDED_USE}",
        population_sentence(context.algorithm),
        prevalence_sentence(context.algorithm),
    )
    summary.ContentSequence = ContentSequence([_comment(sentence) for sentence in sentences])
    root.ContentSequence.append(summary)
    return root


def _group(
    number: int, source: Dataset, reading: Reading, context: ResultContext
) -> MeasurementsAndQualitativeEvaluations:
    """One image's TID 1501 group, with a tracking UID of its own; rows 11 and 12 hold the verdict and the words."""
    tracking_uid = context.identity.uid(Role.TRACKING, reading.sop_instance_uid)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid, _image_name(number, source)),
        finding_type=codes.PNEUMONIA,
        finding_sites=[FindingSite(codes.LUNG)],
        algorithm_id=_algorithm(context.algorithm),
        measurements=None if reading.finding is None else _measurements(reading.finding),
        qualitative_evaluations=[QualitativeEvaluation(codes.PNEUMONIA, codes.EVALUATIONS[reading.outcome])],
        source_images=[_source_image(source)] if referable(source) else None,
    )
    sentences = (outcome_sentence(reading, context.algorithm), *_localisation(reading, context), *reading.warnings)
    group[0].ContentSequence.extend(_comment(sentence) for sentence in sentences)
    return group


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


def _localisation(reading: Reading, context: ResultContext) -> Iterator[str]:
    """That a positive's map points outside the lungs, and what the overlay makes of that."""
    if reading.finding is not None and reading.reason:
        drawn = "draws it all the same, as this site has set" if context.draw_not_localised else "does not show it"
        yield f"{reading.reason} The overlay {drawn}."


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


def _procedures_reported(source: Dataset) -> list[CodedConcept]:
    """The imaging procedure as the source codes it, else just that it was one (CID 100)."""
    found = [item for item in items(source, "ProcedureCodeSequence") if is_code(item)]
    concepts = [CodedConcept(*(text(item, keyword) for keyword in CODE_KEYWORDS)) for item in found]
    return concepts or [CodedConcept.from_code(codes.IMAGING_PROCEDURE)]


def _source_image(source: Dataset) -> SourceImageForMeasurementGroup:
    return SourceImageForMeasurementGroup(str(source.SOPClassUID), str(source.SOPInstanceUID))


def _image_name(number: int, source: Dataset) -> str:
    """What a person calls the image: its number here, and its series' and its own number in the study."""
    numbers = [f"{word} {text(source, keyword)}" for word, keyword in NUMBERS.items() if text(source, keyword)]
    return plain(", ".join([f"Image {number}", *numbers]))


def _comment(sentence: str) -> TextContentItem:
    return TextContentItem(codes.COMMENT, plain(sentence), RelationshipTypeValues.CONTAINS)
