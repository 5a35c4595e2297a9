"""What tells a corrected copy of an image from other content: nothing but patient and study attributes differ."""

import io
from collections.abc import Iterator

import pydicom
from pydicom import Dataset
from pydicom.datadict import keyword_for_tag

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


def differing(one: bytes, other: bytes) -> set[str]:
    """The keywords (or else tags) of what differs between two Part 10 files, whatever their VR encoding; pixels too.

    Group lengths are not compared, nor private elements whose VR is known in one transfer syntax only.
    """
    return set(_differing(pydicom.dcmread(io.BytesIO(one)), pydicom.dcmread(io.BytesIO(other))))


def identification(content: bytes) -> str:
    """A digest (hex) of what CORRECTABLE says in a Part 10 file, whatever its VR encoding."""
    dataset = pydicom.dcmread(io.BytesIO(content), specific_tags=sorted(CORRECTABLE))
    return digest_of({element.keyword: str(element.value) for element in dataset})


def _differing(one: Dataset, other: Dataset) -> Iterator[str]:
    for tag in one.keys() | other.keys():
        if tag.element == 0:
            continue
        if tag in one and tag in other:
            mine, yours = one[tag], other[tag]
            if mine.value == yours.value or (tag.is_private and "UN" in (mine.VR, yours.VR)):
                continue
        yield keyword_for_tag(tag) or str(tag)
