"""population: who is outside it by age, view or modality is warned of, or refused; read back from a real report."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset

from cxrnode.analyse import Analysis, analyse
from cxrnode.commands.offline import group
from cxrnode.finding import Outcome
from cxrnode.headers.anatomy import view_of
from cxrnode.headers.population import population_remarks
from cxrnode.results.banner import banner_for
from cxrnode.results.readback import image_results
from cxrnode.settings import Rules, Settings
from cxrnode.settings.language import load_words
from tests.builders import CR, make_cxr
from tests.fakes import ALGORITHM, FakeModel
from tests.nodes import saved

TODDLERS = replace(ALGORITHM, views=("AP",), modalities=("DX",))
AGE = "Patient is 64 years old; the model was trained on children of 1 to 5 years"
UNKNOWN_AGE = "Patient's age is not given; the model was trained on children of 1 to 5 years"
VIEW = "ViewPosition (0018,5101) tells of view PA; the model was trained on AP"
MODALITY = "Modality (0008,0060) is CR; the model was trained on DX"
OUTSIDE: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "inside": ({}, ()),
    "old": ({"PatientAge": "064Y"}, (AGE,)),
    "age unknown": ({"PatientAge": None, "PatientBirthDate": None}, (UNKNOWN_AGE,)),
    "other view": ({"ViewPosition": "PA"}, (VIEW,)),
    "other modality": ({"Modality": "CR", "SOPClassUID": CR}, (MODALITY,)),
    "all at once": (
        {"PatientAge": "064Y", "ViewPosition": "PA", "Modality": "CR", "SOPClassUID": CR},
        (AGE, VIEW, MODALITY),
    ),
}


def analysis_of(folder: Path, outside_population: str, attributes: dict[str, Any]) -> Analysis:
    """What the whole path makes of one film."""
    path = saved(make_cxr(**attributes), folder / "film.dcm")
    settings = Settings(rules=Rules.model_validate({"outside_population": outside_population}))
    return analyse(group([path]), FakeModel(algorithm=TODDLERS), settings, datetime(2026, 1, 2, tzinfo=UTC))[0]


def report_of(analysis: Analysis, folder: Path) -> Dataset:
    """The report, from its bytes."""
    (report,) = (item for item in analysis.objects if item.family == "report")
    path = folder / "report.dcm"
    path.write_bytes(report.content)
    return pydicom.dcmread(path)


@pytest.mark.parametrize("case", OUTSIDE)
def test_with_warn_the_image_is_read_and_report_and_overlay_say_how_it_lies_outside(tmp_path: Path, case: str) -> None:
    attributes, sentences = OUTSIDE[case]
    analysis = analysis_of(tmp_path, "warn", attributes)

    (told,) = image_results(report_of(analysis, tmp_path))
    assert (told.outcome, told.probability) == (Outcome.POSITIVE, 0.9)
    assert told.comments[2:] == sentences
    assert [item.family for item in analysis.objects][:2] == ["report", "overlay"]
    drawn = " ".join(line for line, _ in banner_for(analysis.readings[0], TODDLERS, load_words("en")).lines)
    assert all(f"Warning: {sentence}" in drawn for sentence in sentences)
    assert drawn.count("Warning:") == len(sentences)


@pytest.mark.parametrize("case", sorted(set(OUTSIDE) - {"inside"}))
def test_with_refuse_no_probability_is_given_and_the_report_says_every_reason(tmp_path: Path, case: str) -> None:
    attributes, sentences = OUTSIDE[case]
    analysis = analysis_of(tmp_path, "refuse", attributes)

    (told,) = image_results(report_of(analysis, tmp_path))
    assert (told.outcome, told.probability) == (Outcome.REFUSED, None)
    assert told.comments == (f"REFUSED: {'. '.join(sentences)}",)
    assert [item.family for item in analysis.objects] == ["report"]


def test_with_refuse_whoever_is_inside_is_read(tmp_path: Path) -> None:
    assert analysis_of(tmp_path, "refuse", {}).outcome is Outcome.POSITIVE


def test_a_card_that_names_no_view_and_no_modality_is_asked_about_age_alone() -> None:
    film = make_cxr(ViewPosition="PA", Modality="CR")

    assert population_remarks(film, view_of(film, Rules()), ALGORITHM) == ()


def test_a_view_that_nothing_tells_is_left_to_its_own_rule() -> None:
    film = make_cxr(ViewPosition=None)

    assert population_remarks(film, view_of(film, Rules()), TODDLERS) == ()
