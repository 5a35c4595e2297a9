"""The report: one Comprehensive 3D SR (TID 1500) a study and round, where a probability becomes a coded finding."""

from collections.abc import Sequence

from highdicom.sr import (
    CodedConcept,
    ContainerContentItem,
    ContentSequence,
    MeasurementReport,
    ObservationContext,
    RelationshipTypeValues,
)
from pydicom import Dataset

from cxrnode.family import Family
from cxrnode.finding import Reading
from cxrnode.header import items
from cxrnode.results import codes
from cxrnode.results.context import ResultContext
from cxrnode.results.evidence import evidence, predecessor_documents
from cxrnode.results.groups import Group, comment, groups_of
from cxrnode.results.inherit import is_code
from cxrnode.results.observer import observer
from cxrnode.results.stamp import new_result
from cxrnode.results.words import INTENDED_USE, NOTICE, population_sentence, prevalence_sentence, study_sentence


def build_report(sources: Sequence[Dataset], readings: Sequence[Reading], context: ResultContext) -> Dataset:
    """The report on one study: a group for each image that was read, refused or failed, and for each of its regions.

    `sources` and `readings` go together, one to one. A not applicable image (a foot in the same study) has no group,
    but is listed as evidence like every other source: C.17.2.3 wants there the full set of instances of the requested
    procedure that the creator is aware of, and a reader can see from it that the image was there and left aside.
    Patient and study are the first source's. Raises ValueError when no reading has anything to report.
    """
    told = [pair for pair in zip(sources, readings, strict=True) if pair[1].outcome in codes.EVALUATIONS]
    if not told:
        raise ValueError("no reading to report: every image is not applicable")

    report = new_result(Family.REPORT, sources[0], context)
    report.CompletionFlag = "COMPLETE"
    report.VerificationFlag = "UNVERIFIED"
    report.PreliminaryFlag = "PRELIMINARY"
    report.ReferencedPerformedProcedureStepSequence = []
    report.PerformedProcedureCodeSequence = []
    report.update(evidence(sources))
    if context.predecessor is not None:
        report.PredecessorDocumentsSequence = predecessor_documents(context.predecessor)

    groups = [
        group
        for number, (source, reading) in enumerate(told, 1)
        for group in groups_of(number, source, reading, context)
    ]
    report.update(_tree(sources[0], [reading for _, reading in told], groups, context))
    return report


def _tree(source: Dataset, readings: Sequence[Reading], groups: Sequence[Group], context: ResultContext) -> Dataset:
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
    summary.ContentSequence = ContentSequence([comment(sentence) for sentence in sentences])
    root.ContentSequence.append(summary)
    return root


def _procedures_reported(source: Dataset) -> list[CodedConcept]:
    """The imaging procedure as the source codes it, else just that it was one (CID 100)."""
    found = [item for item in items(source, "ProcedureCodeSequence") if is_code(item)]
    reported = [codes.code_of(item) for item in found] or [codes.IMAGING_PROCEDURE]
    return [CodedConcept.from_code(code) for code in reported]
