"""Key object selections (TID 2010): a study's flagged images, and the note that rejects results found bad later."""

import operator
from collections.abc import Sequence
from datetime import datetime

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
)

from cxrnode.family import Family
from cxrnode.finding import Outcome, Reading
from cxrnode.headers.header import text
from cxrnode.results import codes
from cxrnode.results.content import Relation, coded_value, put_root, sentence
from cxrnode.results.context import ResultContext
from cxrnode.results.evidence import evidence, referable
from cxrnode.results.inherit import copy_sound, inherit
from cxrnode.results.observer import observer
from cxrnode.results.series import REJECTION, put_into
from cxrnode.results.stamp import new_result, stamp_times
from cxrnode.results.words import INTENDED_USE, NOTICE, plain, study_sentence
from cxrnode.results.written import Item, item

WITHOUT_PIXELS = (
    Comprehensive3DSRStorage, GrayscaleSoftcopyPresentationStateStorage, KeyObjectSelectionDocumentStorage,
)  # fmt: skip
"""What a selection refers to as COMPOSITE; everything else here is an IMAGE."""
MAKER = (
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "StationName", "DeviceUID", "ContentQualification",
)  # fmt: skip
"""What a rejection note takes from the result that it rejects, besides patient and study."""


def build_key_objects(
    sources: Sequence[Dataset], readings: Sequence[Reading], context: ResultContext
) -> Dataset | None:
    """The positive images of one study, titled "Of Interest"; None when there is none that can be referred to.

    `sources` and `readings` go together, one to one. Patient and study are the first source's.
    """
    told = [pair for pair in zip(sources, readings, strict=True) if pair[1].outcome in codes.EVALUATIONS]
    flagged = [source for source, reading in told if reading.outcome is Outcome.POSITIVE and referable(source)]
    if not flagged:
        return None
    selection = new_result(Family.KEY_OBJECTS, sources[0], context)
    description = f"{study_sentence([reading for _, reading in told])} {NOTICE}. {INTENDED_USE}"
    device = observer(context.algorithm.device_uid, context.station_name, context.algorithm.name)
    _select(selection, codes.OF_INTEREST, None, device, description, flagged)
    return selection


def build_rejection(
    header: Dataset, rejected: Sequence[Dataset], reason: str, *, uid: str, series_uid: str, now: datetime
) -> Dataset:
    """A rejection note (IHE RAD TF-3 4.66.4.1): the results of one study that are withdrawn, and why in one sentence.

    `header` is one of them, read back: patient, study and device are its. Each of `rejected` has at least its SOP
    Class, SOP Instance, Series and Study Instance UID. Title "Rejected for Quality Reasons"; its modifier, of CID
    7011, is "Software failure". `now` must be aware. Raises ValueError when nothing is rejected, or anything that is
    not of the header's study or lacks one of its UIDs.
    """
    study = text(header, "StudyInstanceUID")
    strays = [one for one in rejected if not referable(one) or text(one, "StudyInstanceUID") != study]
    if strays or not rejected:
        raise ValueError(f"{len(strays)} of {len(rejected)} results to reject are not of study {study}; wanted all")
    note = Dataset()
    note.file_meta = FileMetaDataset()
    note.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    inherit(note, header)
    for keyword in MAKER:
        copy_sound(note, header, keyword)
    stamp_times(note, header, now)
    note.StudyInstanceUID = study
    put_into(REJECTION, note, uid, series_uid)
    device = observer(*(text(header, keyword) for keyword in ("DeviceUID", "StationName", "ManufacturerModelName")))
    _select(note, codes.REJECTED_FOR_QUALITY, codes.SOFTWARE_FAILURE, device, plain(reason), rejected)
    return note


def _select(
    document: Dataset,
    title: Code,
    modifier: Code | None,
    device: Sequence[Item],
    description: str,
    selected: Sequence[Dataset],
) -> None:
    """Make `document` a selection of `selected`, each of which can be referred to; the root is TID 2010's."""
    document.ReferencedPerformedProcedureStepSequence = []
    document.update(evidence(selected))
    modifiers = [coded_value(Relation.MODIFIER, codes.DOCUMENT_TITLE_MODIFIER, modifier)] if modifier else []
    words = sentence(Relation.CONTAINS, codes.KEY_OBJECT_DESCRIPTION, description)
    references = sorted(map(_item, selected), key=operator.itemgetter(0))  # rows 8 and 10
    put_root(document, title, "2010", [*modifiers, *device, words, *(reference for _, reference in references)])


def _item(instance: Dataset) -> tuple[bool, Item]:
    """Whether it is no image, and a reference; without a purpose of its own: the title says what all are here for."""
    sop_class, sop_instance = str(instance.SOPClassUID), str(instance.SOPInstanceUID)
    referred = item(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=sop_instance)
    kind = "COMPOSITE" if sop_class in WITHOUT_PIXELS else "IMAGE"
    return kind != "IMAGE", item(RelationshipType="CONTAINS", ValueType=kind, ReferencedSOPSequence=[referred])
