"""What tells a corrected copy of an image from other content: nothing but patient and study attributes differ."""

from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.tag import BaseTag

from cxrnode.headers.header import ODD
from cxrnode.headers.opening import parsed
from cxrnode.uids import digest_of

CORRECTABLE = frozenset({
    "SpecificCharacterSet",
    # the patient: PS3.3 C.7.1.1, C.2.2, C.2.3; of the study, C.7.2.2
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID",
    "OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName",
    "PatientBirthDate", "PatientBirthTime", "PatientSex", "PatientAge", "PatientSize", "PatientWeight",
    "PatientAddress", "PatientTelephoneNumbers", "CountryOfResidence", "RegionOfResidence", "EthnicGroup",
    "Occupation", "MedicalRecordLocator", "PatientComments", "AdditionalPatientHistory",
    "AdmissionID", "IssuerOfAdmissionIDSequence",
    # the study and its order: C.7.2.1, C.4.11, C.7.3.1 (Request Attributes)
    "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName", "ReferringPhysicianIdentificationSequence", "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence", "ConsultingPhysicianName", "RequestingPhysician",
    "ProcedureCodeSequence", "RequestAttributesSequence", "ReferencedStudySequence",
    # who corrected it, and when: C.12.1
    "OriginalAttributesSequence", "InstanceCoercionDateTime",
})  # fmt: skip
"""What may differ in a corrected copy: whose image it is and of which study, never what is seen or how it was made."""


def differing(one: Path | bytes, other: Path | bytes) -> set[str]:
    """The keywords (or else tags) of what differs between two Part 10 files, whatever their VR encoding; pixels too.

    Group lengths are not compared, nor private elements whose VR is known in one transfer syntax only.
    """
    return set(_differing(parsed(one), parsed(other)))


def identification(content: Path | bytes) -> str:
    """A digest (hex) of what CORRECTABLE says in a Part 10 file, whatever its VR encoding."""
    dataset = parsed(content, keywords=sorted(CORRECTABLE))
    return digest_of({keyword_for_tag(tag): str(_value(dataset, tag)) for tag in sorted(dataset.keys())})


def _differing(one: Dataset, other: Dataset) -> Iterator[str]:
    for tag in one.keys() | other.keys():
        if tag.element == 0:
            continue
        in_both = tag in one and tag in other
        if in_both and (_value(one, tag) == _value(other, tag) or (tag.is_private and _is_unknown(one, other, tag))):
            continue
        yield keyword_for_tag(tag) or str(tag)


def _is_unknown(one: Dataset, other: Dataset, tag: BaseTag) -> bool:
    return "UN" in (one.get_item(tag).VR, other.get_item(tag).VR)


def _value(dataset: Dataset, tag: BaseTag) -> object:
    """The value of an element; one that is not what its VR promises, as its bytes."""
    try:
        return dataset[tag].value
    except ODD:
        return dataset.get_item(tag).value
