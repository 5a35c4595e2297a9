"""Whose patient and study the results of a study carry, and what is warned of where its images disagree."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from cxrnode.headers.routing import Choice
from cxrnode.ledger.roundlines import round_lines
from tests.builders import make_cxr, remade
from tests.desks import T0, open_desk, read_all, receive
from tests.fakes import FakeModel, FakePacs
from workers.desk import Desk

SR = "1.2.840.10008.5.1.4.1.1.88.34"
RIGHT = {"PatientID": "ZZ-RIGHT", "PatientName": "Zzright^Patient", "AccessionNumber": "ACC-RIGHT"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = open_desk(tmp_path, [FakePacs(port=1).destination()])
    yield made
    made.ledger.close()


def results(desk: Desk, *films: FileDataset) -> list[Dataset]:
    """What is made of films that were received in this order."""
    for second, film in enumerate(films):
        receive(desk, film, at=T0 + timedelta(seconds=second))
    read_all(desk)
    return [pydicom.dcmread(path) for path in desk.spool.root.glob("results/*/*/*.dcm")]


def said(made: list[Dataset]) -> set[str]:
    """Every sentence of the report about who differs."""
    (report,) = (one for one in made if one.SOPClassUID == SR)
    texts = [element.value for element in report.iterall() if element.keyword == "TextValue"]
    return {text for text in texts if "differs among" in text}


def another(film: FileDataset, **attributes: object) -> FileDataset:
    """Another image of the same study."""
    return remade(film, SOPInstanceUID=generate_uid(), **attributes)


def test_all_results_carry_the_corrected_patient_and_study(desk: Desk) -> None:
    film = make_cxr()

    made = results(desk, film, remade(film, **RIGHT))

    assert len(made) >= 2
    assert [{str(one[keyword].value) for one in made} for keyword in RIGHT] == [{value} for value in RIGHT.values()]
    assert {one.StudyInstanceUID for one in made} == {film.StudyInstanceUID}
    assert said(made) == set()


def test_a_correction_outweighs_an_image_that_came_later_and_the_report_says_so(desk: Desk) -> None:
    film = make_cxr()

    made = results(desk, film, remade(film, **RIGHT), another(film))

    assert {one.PatientID for one in made} == {"ZZ-RIGHT"}
    told = "differs among the images of this study; the corrected one is used."
    assert said(made) == {f"PatientID {told}", f"PatientName {told}"}


def test_of_two_corrected_images_the_one_corrected_last_counts(desk: Desk) -> None:
    film = make_cxr()
    other = another(film)

    made = results(desk, film, other, remade(other, PatientID="ZZ-FIRST"), remade(film, **RIGHT))

    assert {one.PatientID for one in made} == {"ZZ-RIGHT"}


def test_a_correction_of_an_image_that_is_not_read_counts_too(desk: Desk) -> None:
    film = make_cxr()
    foot = another(film, BodyPartExamined="FOOT")

    made = results(desk, film, foot, remade(foot, **RIGHT))

    assert {one.PatientID for one in made} == {"ZZ-RIGHT"}


def test_where_images_disagree_the_latest_is_used_and_the_report_says_so_without_values(desk: Desk) -> None:
    film = make_cxr()

    made = results(desk, film, another(film, PatientID="ZZ-OTHER"))

    assert {one.PatientID for one in made} == {"ZZ-OTHER"}
    assert said(made) == {"PatientID differs among the images of this study; the latest received one is used."}


def test_what_is_decided_by_the_patient_is_decided_by_the_corrected_one_and_by_who_sent_the_image(
    tmp_path: Path,
) -> None:
    routes = [{"name": "ward", "age_years": [1, 5], "calling_ae": ["WARD9"], "model": "ward"}]
    desk = open_desk(tmp_path, [FakePacs(port=1).destination()], routes)
    film = make_cxr(PatientAge="064Y")
    receive(desk, film, "WARD9")
    receive(desk, remade(film, PatientAge="004Y"), "ARCHIVE", at=T0 + timedelta(seconds=1))

    read_all(desk, {Choice("ward"): FakeModel()})

    assert [line.route for line in round_lines(desk.ledger)] == ["ward"]
    desk.ledger.close()
