"""eligible: what is read, what is refused and what was never a frontal chest film, each with its sentence."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from cxrnode.finding import Algorithm, Outcome
from cxrnode.headers.eligible import Verdict, choose
from cxrnode.settings import Rules
from tests.builders import CR, DX_PROCESSING, MR, SC, make_cxr
from tests.trips import RAMP

CHILDREN = Algorithm("model", "1", "digest", "1.2.3", "weights", 0.5, 0.7, "children", (1, 5))


def film(**attributes: Any) -> Dataset:
    return make_cxr(RAMP, **attributes)


def verdict_on(*datasets: Dataset, **rules: Any) -> Verdict:
    """The verdict on the first of them."""
    return choose(datasets, Rules(**rules), CHILDREN)[0]


def item(**attributes: Any) -> list[Dataset]:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return [dataset]


def test_a_frontal_chest_film_of_a_child_is_read_without_a_remark() -> None:
    assert verdict_on(film()) == Verdict(None, "DX of the chest, AP view", ())


@pytest.mark.parametrize(
    "attributes",
    [
        {"SOPClassUID": CR, "Modality": "CR", "ImageType": ["DERIVED", "PRIMARY"], "PresentationIntentType": None},
        {"SOPClassUID": SC, "Modality": "CR", "ImageType": None, "PresentationIntentType": None},
        {"SOPClassUID": SC, "ImageType": ["DERIVED", "SECONDARY"]},
        {"ImageType": ["DERIVED", "PRIMARY"], "SourceImageSequence": item(ReferencedSOPInstanceUID="1.2.3")},
    ],
    ids=["derived primary CR", "secondary capture of a CR", "digitised film", "derived from raw pixels"],
)
def test_films_in_their_usual_guises_are_read(attributes: dict[str, Any]) -> None:
    assert verdict_on(film(**attributes)).outcome is None


NOT_APPLICABLE: dict[str, tuple[dict[str, Any], str]] = {
    "mr": ({"Modality": "MR", "SOPClassUID": MR}, "Modality (0008,0060) is MR; this node reads CR, DX"),
    "no modality": ({"Modality": None}, "Modality (0008,0060) is absent; this node reads CR, DX"),
    "screenshot": ({"Modality": "OT", "SOPClassUID": SC}, "Modality (0008,0060) is OT"),
    "pdf": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, "SOPClassUID (0008,0016) is Encapsulated PDF Storage"),
    "report": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.34"}, "Comprehensive 3D SR Storage; wanted CR, DX or"),
    "private class": ({"SOPClassUID": "1.2.826.0.1.99.1"}, "is not a class of the standard"),
    "our own": ({"Manufacturer": "cxrnode", "Modality": "DX", "SOPClassUID": SC}, "a result of such a node"),
    "burned in": ({"BurnedInAnnotation": "YES"}, "BurnedInAnnotation (0028,0301) is YES; wanted NO"),
    "ai": ({"ImageType": ["DERIVED", "SECONDARY", "AI"]}, "ImageType (0008,0008) is DERIVED/SECONDARY/AI"),
    "derived secondary": (
        {"ImageType": ["DERIVED", "SECONDARY"], "SourceImageSequence": item(ReferencedSOPInstanceUID="1.2.3")},
        "wanted the source image itself",
    ),
    "tibia": ({"BodyPartExamined": "EXTREMITY"}, "BodyPartExamined (0018,0015) is EXTREMITY"),
    "lateral": ({"ViewPosition": "LL"}, "ViewPosition (0018,5101) tells of view LL; this node reads PA, AP"),
    "oblique": ({"ViewPosition": "LAO"}, "tells of view LAO"),
    "lateral by code": (
        {"ViewPosition": None, "ViewCodeSequence": item(CodeValue="399067008", CodingSchemeDesignator="SCT")},
        "ViewCodeSequence (0054,0220) tells of view 399067008",
    ),
}


@pytest.mark.parametrize(("attributes", "sentence"), NOT_APPLICABLE.values(), ids=NOT_APPLICABLE.keys())
def test_what_is_no_frontal_chest_film_is_not_applicable(attributes: dict[str, Any], sentence: str) -> None:
    verdict = verdict_on(film(**attributes))

    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert sentence in verdict.reason


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no id": ({"PatientID": None}, {}, "PatientID (0010,0020) is absent; wanted the identity"),
    "empty id": ({"PatientID": " "}, {}, "PatientID (0010,0020) is absent"),
    "no view": (
        {"ViewPosition": None},
        {"view_absent": "refuse"},
        "ViewPosition (0018,5101) is absent; wanted PA or AP",
    ),
    "raw": ({"PresentationIntentType": "FOR PROCESSING"}, {}, "is FOR PROCESSING; wanted FOR PRESENTATION"),
    "raw class": ({"PresentationIntentType": None, "SOPClassUID": DX_PROCESSING}, {}, "is FOR PROCESSING"),
    "adult": ({"PatientAge": "064Y"}, {"outside_population": "refuse"}, "Patient is 64 years old; the model was"),
    "ageless": ({"PatientAge": None, "PatientBirthDate": ""}, {"outside_population": "refuse"}, "age is not given"),
}


@pytest.mark.parametrize(("attributes", "rules", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_a_chest_film_that_may_not_be_read_is_refused(
    attributes: dict[str, Any], rules: dict[str, Any], sentence: str
) -> None:
    verdict = verdict_on(film(**attributes), **rules)

    assert verdict.outcome is Outcome.REFUSED
    assert sentence in verdict.reason


@pytest.mark.parametrize(
    ("attributes", "rules", "warning"),
    [
        ({"PatientAge": "064Y"}, {}, "Patient is 64 years old; the model was trained on children of 1 to 5 years"),
        ({"PatientAge": None, "PatientBirthDate": ""}, {}, "Patient's age is not given; the model was trained on"),
        ({"ViewPosition": None}, {}, "ViewPosition (0018,5101) is absent; the image is read as a frontal view"),
        (
            {"SOPClassUID": DX_PROCESSING, "PresentationIntentType": "FOR PROCESSING"},
            {"read_for_processing": True},
            "greys",
        ),
        ({"PatientID": ""}, {"require_patient_id": False}, ""),
    ],
    ids=["adult", "ageless", "no view", "raw", "no id"],
)
def test_the_rules_may_let_it_be_read_with_a_warning(
    attributes: dict[str, Any], rules: dict[str, Any], warning: str
) -> None:
    verdict = verdict_on(film(**attributes), **rules)

    assert verdict.outcome is None
    assert warning in "".join(verdict.warnings)
    assert bool(warning) == bool(verdict.warnings)


def test_a_foot_without_an_id_is_not_applicable_rather_than_refused() -> None:
    assert verdict_on(film(BodyPartExamined="FOOT", PatientID=None)).outcome is Outcome.NOT_APPLICABLE


def raw(**attributes: Any) -> Dataset:
    return film(SOPClassUID=DX_PROCESSING, PresentationIntentType="FOR PROCESSING", **attributes)


@pytest.mark.parametrize("read_for_processing", [True, False])
def test_of_one_exposure_the_image_for_presentation_is_read(*, read_for_processing: bool) -> None:
    processing = raw(SOPInstanceUID="1.2.3.4", AcquisitionTime="090000")
    shown = film(SourceImageSequence=item(ReferencedSOPInstanceUID="1.2.3.4"), AcquisitionTime="091500")

    verdicts = choose([processing, shown], Rules(read_for_processing=read_for_processing), CHILDREN)

    assert [verdict.outcome for verdict in verdicts] == [Outcome.NOT_APPLICABLE, None]
    assert "the same exposure is here FOR PRESENTATION and is read" in verdicts[0].reason


def test_twins_without_a_reference_are_known_by_the_moment_and_the_view() -> None:
    assert verdict_on(raw(), film()).outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    "other",
    [
        {"AcquisitionTime": "101700"},
        {"ViewPosition": "PA"},
        {"AcquisitionTime": None, "AcquisitionDate": None},
        {"PatientID": None},
    ],
    ids=["another moment", "another view", "no moment", "refused itself"],
)
def test_raw_pixels_whose_twin_is_not_read_are_refused(other: dict[str, Any]) -> None:
    assert verdict_on(raw(), film(**other)).outcome is Outcome.REFUSED


def test_two_images_that_both_tell_no_moment_are_no_twins() -> None:
    timeless: dict[str, Any] = {"AcquisitionTime": None, "AcquisitionDate": None}

    assert verdict_on(raw(**timeless), film(**timeless)).outcome is Outcome.REFUSED


def test_no_sentence_tells_who_the_patient_is() -> None:
    telling = {"PatientName": "Geheim^Anna", "PatientID": "PID-4711", "AccessionNumber": "ACC-4712"}
    films = [film(**telling, **attributes) for attributes, _ in NOT_APPLICABLE.values()]
    films += [film(**(telling | attributes)) for attributes, _, _ in REFUSED.values()]

    said = " ".join(verdict.reason + " ".join(verdict.warnings) for verdict in choose(films, Rules(), CHILDREN))

    assert not any(secret in said for secret in ("Geheim", "Anna", "4711", "4712", "20220101", "1.2.3"))


KEYWORDS = [
    *("Modality", "SOPClassUID", "ImageType", "Manufacturer", "BurnedInAnnotation", "BodyPartExamined", "ViewPosition"),
    *("AnatomicRegionSequence", "ViewCodeSequence", "SourceImageSequence", "StudyDescription", "SeriesDescription"),
    *("PatientID", "PatientAge", "PatientBirthDate", "StudyDate", "PresentationIntentType", "AcquisitionDateTime"),
    *("AcquisitionTime", "ImageLaterality", "SOPInstanceUID", "ProtocolName", "SpecificCharacterSet"),
]
VALUES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [b"", b"\\", b"CR\\DX", b"PA\\LL", b"\xff\xfe\0\xe0\0\0\0\0", b"99999999", b"-04Y", b"ISO 2022 IR 87"]
    ),
)
VRS = st.sampled_from(["", "US", "SQ", "UN", "FD", "PN", "AT", "DS", "UI"])


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYWORDS), st.tuples(VALUES, VRS), min_size=1, max_size=6))
def test_no_header_makes_it_raise(odd: dict[str, tuple[bytes, str]]) -> None:
    dataset = film()
    for keyword, (value, vr) in odd.items():
        tag = Tag(keyword)
        dataset[tag] = RawDataElement(
            tag, vr or dictionary_VR(tag), len(value), value, 0, is_implicit_VR=False, is_little_endian=True
        )

    verdicts = choose([dataset, film()], Rules(), CHILDREN)

    assert len(verdicts) == 2
    assert all(verdict.reason for verdict in verdicts)


def test_an_empty_data_set_is_not_applicable_and_no_data_set_no_verdict() -> None:
    assert verdict_on(Dataset()).outcome is Outcome.NOT_APPLICABLE
    assert choose([], Rules(), CHILDREN) == []


def test_every_real_file_gets_a_verdict_from_its_header_alone(shared_data: Path) -> None:
    outcomes: dict[str, list[Outcome | None]] = {}
    for file in sorted((shared_data / "dicom").glob("*/*")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(file, force=True, stop_before_pixels=True)
        outcomes.setdefault(file.parent.name, []).append(verdict_on(dataset).outcome)

    chest = outcomes.pop("chest")

    assert chest.count(None) == 4
    assert chest.count(Outcome.REFUSED) == 1  # the one without a Patient ID
    assert {outcome for others in outcomes.values() for outcome in others} == {Outcome.NOT_APPLICABLE}
