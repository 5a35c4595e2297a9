"""The judges really listen: an object that was tampered with is objected to, each time by the judge in question."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from cxrnode.family import Family
from cxrnode.results.encode import encode
from tests.referee.judges import dcentvfy, dciodvfy, dcmpschk, dsrdump, objections, pixelmed
from tests.studies import STUDIES


def written(family: Family, folder: Path) -> Path:
    """One object of this family."""
    (dataset,) = (made.dataset for made in STUDIES["positive"]().made() if made.family is family)
    path = folder / f"{family}.dcm"
    path.write_bytes(encode(dataset))
    return path


def tampered(path: Path, change: Callable[[Dataset], None]) -> Path:
    dataset = dcmread(path)
    change(dataset)
    path.write_bytes(encode(dataset))
    return path


def without(keyword: str) -> Callable[[Dataset], None]:
    return lambda dataset: dataset.__delattr__(keyword)


TYPE_1 = {
    Family.REPORT: "CompletionFlag",
    Family.OVERLAY: "ConversionType",
    Family.MAP: "ConversionType",
    Family.PRESENTATION: "PresentationCreationDate",
    Family.SEGMENTATION: "SegmentSequence",
    Family.KEY_OBJECTS: "CurrentRequestedProcedureEvidenceSequence",
}
"""An attribute of each family that must be there and have a value"""


@pytest.mark.parametrize("family", Family)
def test_dciodvfy_misses_an_attribute_of_type_1_in_every_family(family: Family, tmp_path: Path) -> None:
    path = written(family, tmp_path)
    assert objections("dciodvfy", dciodvfy(path)) == []

    tampered(path, without(TYPE_1[family]))

    assert any(TYPE_1[family] in line for line in objections("dciodvfy", dciodvfy(path)))


@pytest.mark.parametrize("family", [Family.REPORT, Family.KEY_OBJECTS])
def test_pixelmed_notices_a_wrong_relationship(family: Family, tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        item = next((one for one in dataset.ContentSequence if "ContentSequence" in one), dataset)
        item.ContentSequence[0].RelationshipType = "HAS PROPERTIES"

    path = tampered(written(family, tmp_path), change)

    assert objections("PixelMed", pixelmed(path)) != []


def test_dcmtk_notices_a_report_without_its_content(tmp_path: Path) -> None:
    path = tampered(written(Family.REPORT, tmp_path), without("ValueType"))

    assert objections("DCMTK", dsrdump(path)) != []


def test_dcmtk_notices_a_presentation_state_without_its_images(tmp_path: Path) -> None:
    path = tampered(written(Family.PRESENTATION, tmp_path), without("ReferencedSeriesSequence"))

    assert objections("DCMTK", dcmpschk(path)) != []


def test_dcentvfy_notices_another_patient(tmp_path: Path) -> None:
    study = STUDIES["positive"]()
    paths = [*study.write_sources(tmp_path), *study.write_results(tmp_path)]
    assert objections("dcentvfy", dcentvfy(paths)) == []

    tampered(paths[-1], lambda dataset: setattr(dataset, "PatientBirthDate", "19000101"))

    assert objections("dcentvfy", dcentvfy(paths)) != []
