"""What a result takes over from its source: patient, study and character set, byte for byte as they came."""

from collections.abc import Callable
from copy import deepcopy

from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.valuerep import validate_value

from cxrnode.headers.header import ODD, items, text, texts, unwarned

IDENTITY = ("PatientName", "PatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName")
"""Type 2; never judged: an archive files a result by these, so they go back as they came, or empty."""
TYPE_2 = ("StudyDate", "StudyTime", "PatientBirthDate", "PatientSex")
"""Type 2; a value that its VR forbids becomes an empty one."""
OPTIONAL = (
    "IssuerOfPatientID", "TypeOfPatientID", "OtherPatientNames", "PatientBirthTime", "EthnicGroup",
    "PatientIdentityRemoved", "DeidentificationMethod", "PatientAge", "PatientSize", "PatientWeight", "AdmissionID",
    "StudyDescription", "PhysiciansOfRecord",
)  # fmt: skip
"""Type 3; absent, empty or invalid is left out."""
SEXES = ("M", "F", "O")


def inherit(result: Dataset, source: Dataset) -> None:
    """Give `result` the source's patient, study and character set (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2).

    A value that nobody has read yet is copied as its bytes, so that not even a name no decoder understands changes;
    one that was read is written again in the same character set. The result must be written in Explicit VR LE.
    """
    twin = _twin(source)
    for keyword in TAKEN_OVER:
        element = as_written(source, keyword)
        if keyword in IDENTITY + TYPE_2:
            setattr(result, keyword, None)
        if element is not None and _wanted(twin, keyword):
            result[element.tag] = element
    written_as_it_is(result)


def written_as_it_is(result: Dataset) -> None:
    """Else pydicom would decode what a result has as bytes, and encode it anew when it writes."""
    encodings = convert_encodings(result.get("SpecificCharacterSet"))
    result.set_original_encoding(is_implicit_vr=False, is_little_endian=True, character_encoding=encodings)


def copy_sound(result: Dataset, source: Dataset, keyword: str) -> None:
    """Copy one attribute that has a value, and one that its VR allows; else leave the result as it is."""
    element = as_written(source, keyword)
    if element is not None and text(source, keyword) and _sound(source, keyword):
        result[element.tag] = element


def as_written(source: Dataset, keyword: str) -> DataElement | RawDataElement | None:
    """One attribute to put into another data set: undecoded bytes where the source has not been read there.

    None where it is absent, or cannot be read.
    """
    tag = tag_for_keyword(keyword)
    try:
        element = None if tag is None else source.get_item(tag)
        if not isinstance(element, RawDataElement):
            return deepcopy(element)
        if dictionary_VR(element.tag) == "SQ":  # its items may be written in another byte order or without VRs
            return deepcopy(source[element.tag])
    except ODD:
        return None
    return element._replace(VR=dictionary_VR(element.tag))


def _twin(source: Dataset) -> Dataset:
    """The same values to be judged, for pydicom keeps what it has read, and the next result would not get the bytes."""
    twin = Dataset()
    for keyword in TAKEN_OVER:
        if (element := as_written(source, keyword)) is not None:
            twin[element.tag] = element
    return twin


def _wanted(source: Dataset, keyword: str) -> bool:
    if keyword in SEQUENCES:
        found = items(source, keyword)
        return bool(found) and all(SEQUENCES[keyword](item) for item in found)
    return keyword in IDENTITY or (bool(text(source, keyword)) and _sound(source, keyword))


def is_code(item: Dataset) -> bool:
    """Whether an item is a code that can stand in a result: value, scheme and meaning, each of legal length."""
    limits = {"CodeValue": 16, "CodingSchemeDesignator": 16, "CodeMeaning": 64}
    return all(0 < len(text(item, keyword)) <= limit for keyword, limit in limits.items())


def _is_issuer(item: Dataset) -> bool:
    universal = bool(text(item, "UniversalEntityID")) and bool(text(item, "UniversalEntityIDType"))
    return universal or bool(text(item, "LocalNamespaceEntityID"))


SEQUENCES: dict[str, Callable[[Dataset], bool]] = {
    "IssuerOfAccessionNumberSequence": _is_issuer,
    "IssuerOfPatientIDQualifiersSequence": lambda item: bool(text(item, "UniversalEntityID")),
    "DeidentificationMethodCodeSequence": is_code,
    "ProcedureCodeSequence": is_code,
}
TAKEN_OVER = ("SpecificCharacterSet", *IDENTITY, *TYPE_2, *OPTIONAL, *SEQUENCES)


def _sound(source: Dataset, keyword: str) -> bool:
    """Whether every value is one that its VR allows, and its attribute's enumeration."""
    values = texts(source, keyword)
    if keyword == "PatientSex":
        return len(values) <= 1 and all(value in SEXES for value in values)
    with unwarned():
        try:
            for value in values:
                validate_value(dictionary_VR(keyword), value, RAISE)
        except ValueError:
            return False
    return True
