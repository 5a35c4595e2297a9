"""Two routes, two models and two archives on a real node; `rules test` said so beforehand, `analyse` agrees."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from cxrnode.results.readback import content_item, image_results, named
from tests.builders import make_cxr
from tests.fakes import FakePacs
from tests.nodes import RunningNode, running_node, saved
from tests.zoo import untrained, write_folder

SR = "1.2.840.10008.5.1.4.1.1.88.34"
ROUTES: list[dict[str, object]] = [
    {"name": "toddlers", "age_years": [1, 5], "model": "kids", "prevalence": 0.05, "destinations": ["near"]},
    {"name": "ward", "calling_ae": ["WARD9"], "view": ["PA"], "model": "grown", "destinations": ["far"]},
]
FILMS: dict[str, tuple[str, dict[str, Any]]] = {
    "child": ("DXROOM1", {}),
    "adult of the ward": ("WARD9", {"PatientAge": "064Y", "ViewPosition": "PA"}),
    "adult from elsewhere": ("DXROOM1", {"PatientAge": "064Y", "ViewPosition": "PA"}),
}


@dataclass(frozen=True)
class Day:
    """What was foretold of each film, what came of it, and what each archive holds."""

    foretold: dict[str, dict[str, Any]]
    analysed: dict[str, dict[str, Any]]
    rounds: list[dict[str, Any]]
    near: list[Dataset]
    far: list[Dataset]
    check: str


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    folder = tmp_path_factory.mktemp("routes")
    for seed, name in enumerate(("kids", "grown")):
        write_folder(folder / "zoo" / name, untrained(seed=seed), name=name)
    near, far = FakePacs(), FakePacs()
    with near.listening(), far.listening():
        pacs = (near.destination(name="near"), far.destination(name="far"))
        with running_node(folder, *pacs, routes=ROUTES, model={"zoo_dir": str(folder / "zoo")}) as node:
            files = {name: saved(make_cxr(**values), folder / f"{name}.dcm") for name, (_, values) in FILMS.items()}
            for name, (calling_ae, _) in FILMS.items():
                node.push(files[name], calling_ae=calling_ae)
            status = node.wait_until_finished(len(FILMS))
            foretold = {name: told(node, "rules", "test", film=name, file=file) for name, file in files.items()}
            analysed = {name: told(node, "analyse", film=name, file=file) for name, file in files.items()}
            check = node.cxrnode("check").stdout
    assert status["balanced"]
    return Day(foretold, analysed, status["rounds"], near.stored, far.stored, check)


def told(node: RunningNode, *command: str, film: str, file: Path) -> dict[str, Any]:
    """What a command of the command line says of one film."""
    ran = node.cxrnode(*command, "--json", "--calling-ae", FILMS[film][0], str(file))
    assert ran.returncode == 0, ran.stderr
    line: dict[str, Any] = json.loads(ran.stdout)
    return line


def test_each_archive_holds_only_what_its_route_sends(day: Day) -> None:
    assert {stored.ManufacturerModelName for stored in day.near} == {"kids"}
    assert {stored.ManufacturerModelName for stored in day.far} == {"grown"}
    assert (len(day.near), len(day.far)) == (2, 2)


def test_the_status_tells_each_rounds_route_model_and_prevalence(day: Day) -> None:
    lines = {line["route"]: line for line in day.rounds}

    assert [lines[route]["model"] for route in ("toddlers", "ward", "")] == ["kids 1", "grown 1", ""]
    assert [lines[route]["prevalence"] for route in ("toddlers", "ward", "")] == [0.05, 0.7, None]
    assert [lines[route]["deliveries"] for route in ("toddlers", "ward", "")] == [
        {"near": "2 accepted"},
        {"far": "2 accepted"},
        {},
    ]
    assert lines[""]["outcome"] == "not_applicable"
    assert lines[""]["reasons"][0].endswith("met: toddlers (age_years), ward (calling_ae)")


def test_what_rules_test_foretold_is_what_happened(day: Day) -> None:
    foretold = {name: (line["route"], line["model"], line["destinations"]) for name, line in day.foretold.items()}

    assert foretold == {
        "child": ("toddlers", "kids", ["near"]),
        "adult of the ward": ("ward", "grown", ["far"]),
        "adult from elsewhere": ("", "", []),
    }
    (unrouted,) = (line for line in day.rounds if not line["route"])
    assert day.foretold["adult from elsewhere"]["reason"] == unrouted["reasons"][0]


def test_report_and_analyse_say_the_same_probability_at_the_same_prevalence(day: Day) -> None:
    for name, stored, prevalence, who in (
        ("child", day.near, 0.05, "the site"),
        ("adult of the ward", day.far, 0.7, "the card"),
    ):
        (report,) = (one for one in stored if one.SOPClassUID == SR)
        (image,) = image_results(report)
        parameters = {item.value for item in named(content_item(report), "Algorithm Parameters")}

        assert image.probability == pytest.approx(day.analysed[name]["probability"], abs=1e-12)
        assert day.analysed[name]["prevalence"] == prevalence
        assert {f"prevalence = {prevalence}", f"prevalence set by = {who}"} <= parameters


def test_check_looks_at_the_weights_of_every_route(day: Day) -> None:
    words = " ".join(day.check.replace("│", " ").split())

    assert "kids 1 at 0.05 prevalence" in words
    assert "grown 1: the weights" in words
