"""`cxrnode rules test`: what it foretells, in words and for machines, without torch and without a node."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_cxr
from tests.nodes import saved
from tests.trips import RAMP
from tests.zoo import write_card, write_folder

ROUTES = """
[[destinations]]
name = "near"
ae_title = "PACS"
host = "127.0.0.1"
port = 104
[[routes]]
name = "toddlers"
age_years = [1, 5]
model = "toy"
prevalence = 0.05
[[routes]]
name = "ward"
calling_ae = ["WARD9"]
model = "toy"
destinations = []
"""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("zoo") / "toy").parent


def rules_test(folder: Path, zoo: Path, *arguments: str, settings: str = ROUTES) -> subprocess.CompletedProcess[str]:
    config = folder / "node.toml"
    config.write_text(f'[node]\nstate_dir = "{folder / "state"}"\n[model]\nzoo_dir = "{zoo}"\n{settings}')
    command = [sys.executable, "-m", "cxrnode.cli", "--config", str(config), "rules", "test", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def foretold(folder: Path, zoo: Path, *arguments: str, **attributes: Any) -> dict[str, Any]:
    film = saved(make_cxr(RAMP, **attributes), folder / "film.dcm")
    told = rules_test(folder, zoo, "--json", str(film), *arguments)
    assert told.returncode == 0, told.stderr
    line: dict[str, Any] = json.loads(told.stdout)
    return line


def test_a_film_that_a_route_takes_is_told_with_model_destinations_and_the_condition_of_the_other(
    tmp_path: Path, zoo: Path
) -> None:
    line = foretold(tmp_path, zoo)

    assert (line["route"], line["model"], line["prevalence"], line["destinations"]) == (
        "toddlers",
        "toy",
        0.05,
        ["near"],
    )
    assert line["operating_point"] == pytest.approx(0.05 / 0.95 / (0.7 / 0.3) / (1 + 0.05 / 0.95 / (0.7 / 0.3)))
    (image,) = line["images"]
    assert (image["verdict"], image["reason"], image["warnings"]) == ("read", "DX of the chest, AP view", [])
    assert image["routes"] == [
        {"route": "toddlers", "met": True, "condition": "", "value": "", "wanted": ""},
        {"route": "ward", "met": False, "condition": "calling_ae", "value": "absent", "wanted": "WARD9"},
    ]


def test_the_sender_that_a_file_cannot_tell_may_be_given(tmp_path: Path, zoo: Path) -> None:
    line = foretold(tmp_path, zoo, "--calling-ae", "WARD9", PatientAge="064Y", ViewPosition="PA")

    assert (line["route"], line["destinations"]) == ("ward", [])
    (image,) = line["images"]
    assert [warning.partition(";")[0] for warning in image["warnings"]] == [
        "Patient is 64 years old",
        "ViewPosition (0018,5101) tells of view PA",
    ]


def test_words_say_the_same(tmp_path: Path, zoo: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    saved(make_cxr(RAMP, PatientAge="064Y"), films / "adult.dcm")
    saved(make_cxr(RAMP), films / "child.dcm")
    saved(make_cxr(RAMP, BodyPartExamined="FOOT"), films / "foot.dcm")
    (films / "text.dcm").write_text("not DICOM at all")

    told = rules_test(tmp_path, zoo, str(films))

    assert told.returncode == 0, told.stderr
    adult, child, foot, text = (part.splitlines() for part in told.stdout.split("Study of 1: ")[1:])
    assert adult[0].startswith("read by no model; No route takes this study")
    assert adult[2] == "    route toddlers: age_years is 64 years; wanted 1 to 5"
    assert child[0] == "route toddlers; model toy at 5.0% prevalence; to near"
    assert child[1] == f"  {films / 'child.dcm'}: read: DX of the chest, AP view"
    assert child[2:] == ["    route toddlers: met", "    route ward: calling_ae is absent; wanted WARD9"]
    assert foot[0] == "read by no model; no frontal chest radiograph"
    assert "not_applicable: BodyPartExamined (0018,0015) is FOOT" in foot[1]
    assert "failed: The file cannot be parsed" in text[1]


def test_without_routes_the_one_model_is_told(tmp_path: Path, zoo: Path) -> None:
    write_card(tmp_path / "elsewhere")  # a folder that nobody asks for
    film = saved(make_cxr(RAMP), tmp_path / "film.dcm")
    settings = '[rules]\noutside_population = "refuse"\n'

    told = rules_test(tmp_path, zoo, str(film), settings=settings.replace("[rules]", 'name = "toy"\n[rules]'))

    assert told.stdout.startswith(
        "Study of 1: no routes in the settings; model toy at 70.0% prevalence; to no destination"
    )


def test_a_route_to_a_model_that_is_not_there_is_one_line_and_exit_status_2(tmp_path: Path, zoo: Path) -> None:
    film = saved(make_cxr(RAMP), tmp_path / "film.dcm")

    told = rules_test(tmp_path, zoo, str(film), settings=ROUTES.replace('"toy"', '"nothing-like-it"'))

    assert told.returncode == 2
    assert "no model is called 'nothing-like-it'" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("command", [("check", "--json"), ("work", "--role", "analyse")])
def test_check_and_the_workers_start_name_the_model_that_is_not_there(
    tmp_path: Path, zoo: Path, command: tuple[str, ...]
) -> None:
    rules_test(tmp_path, zoo, "--help", settings=ROUTES.replace('"toy"', '"nothing-like-it"', 1))
    told = subprocess.run(
        [sys.executable, "-m", "cxrnode.cli", "--config", str(tmp_path / "node.toml"), *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert told.returncode in {1, 2}
    assert "no model is called 'nothing-like-it'" in told.stdout + told.stderr
