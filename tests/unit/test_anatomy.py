"""anatomy: body part and view, from codes, terms and words in several languages."""

import pytest
from pydicom import Dataset

from cxrnode.headers.anatomy import not_of_chest, view_of
from cxrnode.settings import Rules


def header(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def code(value: str, scheme: str = "SCT") -> list[Dataset]:
    return [header(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning="whatever")]


@pytest.mark.parametrize(
    "dataset",
    [
        header(BodyPartExamined="CHEST"),
        header(BodyPartExamined="chest"),
        header(BodyPartExamined="CHEST PA"),
        header(BodyPartExamined="TORAX", StudyDescription="mano"),
        header(BodyPartExamined="LUNG"),
        header(AnatomicRegionSequence=code("816094009")),
        header(AnatomicRegionSequence=code("51185008"), StudyDescription="Hand"),
        header(AnatomicRegionSequence=code("T-D3000", "SRT")),
        header(SeriesDescription="RX TÓRAX PA"),
        header(SeriesDescription="Thorax p.a."),
        header(ProtocolName="CXR portable"),
        header(StudyDescription="Radiographie des poumons"),
        header(StudyDescription="Lungenaufnahme im Liegen"),
        header(StudyDescription="RTG klatki piersiowej"),
        header(StudyDescription="ОГК Рентген органов грудной клетки"),
        header(StudyDescription="胸部X線"),
        header(StudyDescription="흉부 단순촬영"),
        header(RequestedProcedureDescription="Torace"),
        header(SeriesDescription="CHEST AP", StudyDescription="Chest and abdomen"),
    ],
    ids=lambda dataset: dataset[next(iter(dataset.keys()))].keyword,
)
def test_a_chest_is_known_by_term_code_or_word(dataset: Dataset) -> None:
    assert not_of_chest(dataset, Rules()) == ""


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        (header(BodyPartExamined="EXTREMITY"), "BodyPartExamined (0018,0015) is EXTREMITY; wanted CHEST, THORAX, LUNG"),
        (header(BodyPartExamined="CHESTABDOMEN"), "BodyPartExamined (0018,0015) is CHESTABDOMEN; wanted"),
        (header(BodyPartExamined="TSPINE", StudyDescription="Chest"), "BodyPartExamined (0018,0015) is TSPINE"),
        (header(BodyPartExamined="THORACIC SPINE"), "BodyPartExamined (0018,0015) is THORACIC SPINE"),
        (header(AnatomicRegionSequence=code("122495006")), "AnatomicRegionSequence (0008,2218) is 122495006"),
        (header(SeriesDescription="Abdomen", StudyDescription="Chest and abdomen"), "names another body part"),
        (header(StudyDescription="Brustwirbelsäule"), "names another body part"),
        (header(StudyDescription="Parrilla costal"), "names another body part"),
        (header(StudyDescription="No Finding"), "Nothing says chest: BodyPartExamined (0018,0015) is absent"),
        (header(StudyDescription="Arzt: Dr. Lungo, alla fine del tutto"), "Nothing says chest"),
        (header(), "Nothing says chest"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_chest_is_told_without_quoting_free_text(dataset: Dataset, sentence: str) -> None:
    told = not_of_chest(dataset, Rules())

    assert sentence in told
    assert str(dataset.get("StudyDescription", "?")) not in told


def test_the_rules_may_name_more_body_parts() -> None:
    assert not_of_chest(header(BodyPartExamined="BABYGRAM"), Rules(body_parts=("CHEST", "BABYGRAM"))) == ""


@pytest.mark.parametrize(
    ("dataset", "term", "keyword"),
    [
        (header(ViewPosition="PA"), "PA", "ViewPosition"),
        (header(ViewPosition="ap"), "AP", "ViewPosition"),
        (header(ViewPosition="P-A"), "PA", "ViewPosition"),
        (header(ViewPosition="AP SUPINE"), "AP", "ViewPosition"),
        (header(ViewPosition="POSTERO_ANTERIOR"), "PA", "ViewPosition"),
        (header(ViewPosition="LL"), "LL", "ViewPosition"),
        (header(ViewPosition="LATERAL", SeriesDescription="PA"), "LATERAL", "ViewPosition"),
        (header(ViewPosition="AP LAT"), "AP LAT", "ViewPosition"),
        (header(ViewCodeSequence=code("399348003")), "AP", "ViewCodeSequence"),
        (header(ViewCodeSequence=code("R-40888", "SRT")), "PA", "ViewCodeSequence"),
        (header(ViewCodeSequence=code("399067008")), "399067008", "ViewCodeSequence"),
        (header(SeriesDescription="view: PA"), "PA", "SeriesDescription"),
        (header(SeriesDescription="Thorax p.a. stehend"), "PA", "SeriesDescription"),
        (header(SeriesDescription="Chest lateral"), "LATERAL", "SeriesDescription"),
        (header(ProtocolName="Thorax seitlich"), "LATERAL", "ProtocolName"),
        (header(SeriesDescription="Thorax de profil"), "LATERAL", "SeriesDescription"),
        (header(SeriesDescription="Chest PA and lateral"), "", ""),
        (header(SeriesDescription="Chest PA/AP"), "", ""),
        (header(SeriesDescription="Bilateral ribs"), "", ""),
        (header(StudyDescription="Chest lateral"), "", ""),
        (header(ViewPosition=""), "", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_view_is_told_by_term_code_or_word(dataset: Dataset, term: str, keyword: str) -> None:
    view = view_of(dataset, Rules())

    assert (view.term, view.keyword) == (term, keyword)
