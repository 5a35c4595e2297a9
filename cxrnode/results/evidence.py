"""What a report rests on and what it replaces: references to instances by study and series (PS3.3 Table C.17-3b)."""

from collections.abc import Sequence

from pydicom import Dataset

from cxrnode.headers.header import text
from cxrnode.study import Predecessor


def referable(source: Dataset) -> bool:
    """Whether the instance names itself fully enough to be referred to; receivers do not insist on a series."""
    return all(text(source, f"{name}UID") for name in ("StudyInstance", "SeriesInstance", "SOPClass", "SOPInstance"))


def evidence(sources: Sequence[Dataset]) -> Dataset:
    """Current Requested Procedure Evidence Sequence with every source that can be referred to; empty when none can."""
    result = Dataset()
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for source in filter(referable, sources):
        series = studies.setdefault(str(source.StudyInstanceUID), {})
        series.setdefault(str(source.SeriesInstanceUID), []).append(reference(source))
    if studies:
        result.CurrentRequestedProcedureEvidenceSequence = [_study(uid, series) for uid, series in studies.items()]
    return result


def predecessor_documents(predecessor: Predecessor) -> list[Dataset]:
    """The items of Predecessor Documents Sequence: the report that is superseded."""
    item = reference_to(predecessor.sop_class_uid, predecessor.sop_instance_uid)
    return [_study(predecessor.study_instance_uid, {predecessor.series_instance_uid: [item]})]


def reference(source: Dataset) -> Dataset:
    """An item that refers to the instance."""
    return reference_to(str(source.SOPClassUID), str(source.SOPInstanceUID))


def reference_to(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """An item that refers to an instance by its UIDs (PS3.3 Table 10-11)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def _study(study_instance_uid: str, series: dict[str, list[Dataset]]) -> Dataset:
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    study.ReferencedSeriesSequence = []
    for series_instance_uid, instances in series.items():
        item = Dataset()
        item.SeriesInstanceUID = series_instance_uid
        item.ReferencedSOPSequence = instances
        study.ReferencedSeriesSequence.append(item)
    return study
