"""routing: which route takes a study, and the first condition that each other route missed."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from cxrnode.finding import Outcome
from cxrnode.headers.routing import Choice, Decision, Miss, choices, decide, first_miss
from cxrnode.settings import Rules, Settings
from cxrnode.study import Instance, Study
from tests.builders import CR, make_cxr
from tests.nodes import saved
from tests.trips import RAMP

PACS = [{"name": name, "ae_title": "PACS", "host": "127.0.0.1", "port": 104} for name in ("near", "far")]
CHILDREN = {"name": "children", "age_years": [1, 5], "model": "kids", "destinations": ["near"]}
WARD = {"name": "ward", "calling_ae": ["WARD9"], "modality": ["CR"], "model": "grown", "prevalence": 0.2}


def settings_with(*routes: dict[str, Any], **tables: Any) -> Settings:
    return Settings(routes=routes, destinations=PACS, **tables)


def study_of(folder: Path, *films: dict[str, Any], calling_ae: str = "DXROOM1") -> Study:
    """A study of films with these attributes."""
    uid = generate_uid()
    paths = [saved(make_cxr(RAMP, StudyInstanceUID=uid, **film), folder / f"{generate_uid()}.dcm") for film in films]
    instances = [Instance(path.stem, path, path.stem, "0" * 64, calling_ae) for path in paths]
    return Study("key", uid, 1, tuple(instances))


@pytest.mark.parametrize(
    ("condition", "attributes", "miss"),
    [
        ({"modality": ["CR"]}, {"Modality": "CR"}, None),
        ({"modality": ["cr"]}, {"Modality": "CR"}, None),
        ({"modality": ["CR"]}, {"Modality": "DX"}, ("modality", "DX", "CR")),
        ({"modality": ["CR"]}, {"Modality": None}, ("modality", "absent", "CR")),
        ({"body_part": ["CHEST", "LUNG"]}, {"BodyPartExamined": "Lung"}, None),
        ({"body_part": ["LUNG"]}, {"BodyPartExamined": "CHEST"}, ("body_part", "CHEST", "LUNG")),
        ({"body_part": ["CHEST"]}, {"BodyPartExamined": None}, ("body_part", "absent", "CHEST")),
        ({"view": ["AP"]}, {"ViewPosition": "AP SUPINE"}, None),
        ({"view": ["AP"]}, {"ViewPosition": None, "SeriesDescription": "Thorax a.p."}, None),
        ({"view": ["PA", "AP"]}, {"ViewPosition": None}, ("view", "absent", "PA, AP")),
        ({"view": ["PA"]}, {"ViewPosition": "AP"}, ("view", "AP", "PA")),
        ({"age_years": [1, 5]}, {"PatientAge": "001Y"}, None),
        ({"age_years": [1, 5]}, {"PatientAge": "005Y"}, None),
        ({"age_years": [0, 0]}, {"PatientAge": "011M"}, None),
        ({"age_years": [1, 5]}, {"PatientAge": "006Y"}, ("age_years", "6 years", "1 to 5")),
        ({"age_years": [1, 5]}, {"PatientAge": "003M"}, ("age_years", "3 months", "1 to 5")),
        ({"age_years": [0, 150]}, {"PatientAge": None, "PatientBirthDate": None}, ("age_years", "absent", "0 to 150")),
        ({"calling_ae": ["DXROOM1", "WARD9"]}, {}, None),
        ({"calling_ae": ["WARD9"]}, {}, ("calling_ae", "DXROOM1", "WARD9")),
        ({"modality": ["CR"], "age_years": [9, 9]}, {}, ("modality", "DX", "CR")),
        ({}, {"Modality": None, "BodyPartExamined": None, "ViewPosition": None, "PatientAge": None}, None),
    ],
)
def test_a_condition_is_met_or_the_miss_names_it_with_value_and_wanted(
    condition: dict[str, Any], attributes: dict[str, Any], miss: tuple[str, str, str] | None
) -> None:
    (route,) = settings_with({"name": "r", "model": "m"} | condition).routes

    found = first_miss(make_cxr(RAMP, **attributes), "DXROOM1", route, Rules())

    assert found == (miss and Miss("r", *miss))


def test_a_sender_that_nobody_knows_meets_no_condition_on_the_sender() -> None:
    (route,) = settings_with(WARD | {"modality": None}).routes

    assert first_miss(make_cxr(RAMP), "", route, Rules()) == Miss("ward", "calling_ae", "absent", "WARD9")


def test_the_first_route_whose_conditions_are_met_decides(tmp_path: Path) -> None:
    child = study_of(tmp_path, {"Modality": "CR", "SOPClassUID": CR}, calling_ae="WARD9")

    first = decide(child, settings_with(CHILDREN, WARD))
    second = decide(child, settings_with(WARD, CHILDREN))

    assert (first.route, first.choice, first.destinations) == ("children", Choice("kids"), ("near",))
    assert (second.route, second.choice, second.destinations) == ("ward", Choice("grown", 0.2), ("near", "far"))


def test_a_route_may_send_nowhere(tmp_path: Path) -> None:
    assert decide(study_of(tmp_path, {}), settings_with(CHILDREN | {"destinations": []})).destinations == ()


def test_without_routes_the_model_of_the_settings_reads_all_for_every_destination(tmp_path: Path) -> None:
    settings = settings_with(model={"name": "one", "prevalence": 0.1})

    assert decide(study_of(tmp_path, {}), settings) == Decision("", Choice("one", 0.1), ("near", "far"))
    assert choices(settings) == (Choice("one", 0.1),)


def test_a_study_that_no_route_takes_is_told_which_were_asked_and_no_value_of_the_patients(tmp_path: Path) -> None:
    decision = decide(study_of(tmp_path, {"PatientAge": "064Y"}), settings_with(CHILDREN, WARD))

    assert (decision.route, decision.choice, decision.destinations) == ("", None, ())
    told = (
        "No route takes this study; asked, with the condition that was not met: children (age_years), ward (modality)"
    )
    assert decision.reason == told


def test_one_image_must_meet_every_condition_by_itself(tmp_path: Path) -> None:
    halves = ({"PatientAge": "003Y", "ViewPosition": "PA"}, {"PatientAge": "064Y", "ViewPosition": "AP"})
    settings = settings_with(CHILDREN | {"view": ["AP"]})

    assert decide(study_of(tmp_path, *halves), settings).choice is None
    assert decide(study_of(tmp_path, *halves, {"ViewPosition": "AP"}), settings).route == "children"


def test_an_image_that_is_not_to_be_read_decides_nothing(tmp_path: Path) -> None:
    adult_and_a_foot = ({"PatientAge": "064Y"}, {"PatientAge": "003Y", "BodyPartExamined": "FOOT"})

    assert decide(study_of(tmp_path, *adult_and_a_foot), settings_with(CHILDREN)).choice is None


def test_a_study_to_be_refused_goes_where_its_report_would_be_wanted(tmp_path: Path) -> None:
    nameless = study_of(tmp_path, {"PatientID": None})

    decision = decide(nameless, settings_with(WARD, CHILDREN))

    assert (decision.route, decision.trials[0].verdict.outcome) == ("children", Outcome.REFUSED)


def test_a_foot_needs_no_route_and_keeps_its_own_reason(tmp_path: Path) -> None:
    foot = study_of(tmp_path, {"BodyPartExamined": "FOOT"})

    assert decide(foot, settings_with(CHILDREN)).reason == ""


def test_what_cannot_be_parsed_decides_nothing_and_stops_nothing(tmp_path: Path) -> None:
    study = study_of(tmp_path, {}, {})
    study.instances[0].path.write_bytes(b"no DICOM at all")

    assert decide(study, settings_with(CHILDREN)).route == "children"


def test_each_model_is_asked_for_once_at_each_prevalence_and_a_route_inherits_the_sites() -> None:
    again = CHILDREN | {"name": "again", "calling_ae": ["X"]}
    settings = settings_with(CHILDREN, again, WARD, WARD | {"name": "w2", "prevalence": 0.3}, model={"prevalence": 0.1})

    assert choices(settings) == (Choice("kids", 0.1), Choice("grown", 0.2), Choice("grown", 0.3))
