"""The report: one Comprehensive 3D SR (TID 1500) a study and round, where a probability becomes a coded finding."""

from collections.abc import Sequence

from pydicom import Dataset

from cxrnode.family import Family
from cxrnode.finding import Reading
from cxrnode.headers.header import items
from cxrnode.results import codes
from cxrnode.results.codes import coded
from cxrnode.results.content import Relation, coded_value, container, put_root
from cxrnode.results.context import ResultContext
from cxrnode.results.evidence import evidence, predecessor_documents
from cxrnode.results.groups import comment, groups_of
from cxrnode.results.inherit import is_code
from cxrnode.results.observer import observer
from cxrnode.results.stamp import new_result
from cxrnode.results.words import INTENDED_USE, NOTICE, population_sentence, prevalence_sentence, study_sentence
from cxrnode.results.written import Item, coded_item, item_in


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
        group for place, (source, reading) in enumerate(told, 1) for group in groups_of(place, source, reading, context)
    ]
    _plant(report, sources[0], [reading for _, reading in told], groups, context)
    return report


def _plant(
    report: Dataset, source: Dataset, readings: Sequence[Reading], groups: Sequence[Item], context: ResultContext
) -> None:
    """Make `report` the root of TID 1500; its Qualitative Evaluations (row 12) say what holds of the whole study."""
    algorithm = context.algorithm
    sentences = (
        study_sentence(readings),
        f"{NOTICE}. {INTENDED_USE}",
        population_sentence(algorithm),
        prevalence_sentence(algorithm),
    )
    content = [
        coded_value(Relation.MODIFIER, codes.LANGUAGE, codes.ENGLISH),
        *observer(algorithm.device_uid, context.station_name, algorithm.name),
        *_procedures_reported(source, report),
        container(codes.IMAGING_MEASUREMENTS, groups),
        container(codes.QUALITATIVE_EVALUATIONS, [comment(sentence) for sentence in sentences]),
    ]
    put_root(report, codes.IMAGING_MEASUREMENT_REPORT, "1500", content)


def _procedures_reported(source: Dataset, report: Dataset) -> list[Item]:
    """The imaging procedure as the source codes it, else just that it was one (CID 100)."""
    found = [codes.code_of(item) for item in items(source, "ProcedureCodeSequence") if is_code(item)]
    written = [item_in(report, coded(code)) for code in found] or [coded_item(codes.IMAGING_PROCEDURE)]
    return [coded_value(Relation.MODIFIER, codes.PROCEDURE_REPORTED, one) for one in written]
