"""A study's whole day through a real node: in by C-STORE, read by a worker, back by C-STORE, accounted for."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from cxrnode.commands.samples import free_ports
from tests import flowers
from tests.builders import make_cxr, remade
from tests.fakes import FakePacs
from tests.nodes import RunningNode, running_node, saved

SR = "1.2.840.10008.5.1.4.1.1.88.34"
SC = "1.2.840.10008.5.1.4.1.1.7"
BadDay = tuple[RunningNode, dict[str, Any], dict[str, str], FakePacs]
SECRETS = ("Zzsynthetic", "ZZ-PID-0001", "ACC-77001", "20220101")


def test_a_study_goes_in_and_a_report_and_an_overlay_come_back(tmp_path: Path) -> None:
    film = make_cxr()
    with FakePacs().listening() as pacs, running_node(tmp_path, pacs.destination()) as node:
        node.push(saved(film, tmp_path / "film.dcm"))
        status = node.wait_until_finished(1)

    assert status["balanced"]
    assert status["received"] == 1
    (line,) = status["rounds"]
    assert line["outcome"] in {"positive", "negative"}
    assert line["deliveries"] == {"fake": "2 accepted"}
    assert {stored.SOPClassUID for stored in pacs.stored} == {SR, SC}
    assert {stored.StudyInstanceUID for stored in pacs.stored} == {film.StudyInstanceUID}
    assert {stored.PatientName for stored in pacs.stored} == {film.PatientName}


def test_a_pacs_that_echoes_everything_back_opens_no_round(tmp_path: Path) -> None:
    with FakePacs().listening() as pacs, running_node(tmp_path, pacs.destination()) as node:
        node.push(saved(make_cxr(), tmp_path / "film.dcm"))
        node.wait_until_finished(1)
        echoed = [saved(stored, tmp_path / f"echo-{n}.dcm") for n, stored in enumerate(pacs.stored)]
        node.push(*echoed)
        status = node.wait_until(lambda s: {"place": "own result", "outcome": "", "instances": 2} in s["instances"])

    assert status["balanced"]
    assert len(status["rounds"]) == 1
    assert {line["place"]: line["instances"] for line in status["instances"]}["own result"] == 2
    assert len(pacs.stored) == 2


def test_a_late_image_is_reported_by_a_report_that_supersedes_the_first(tmp_path: Path) -> None:
    film = make_cxr()
    late = remade(film, SOPInstanceUID=generate_uid(), InstanceNumber=2)
    with FakePacs().listening() as pacs, running_node(tmp_path, pacs.destination()) as node:
        node.push(saved(film, tmp_path / "film.dcm"))
        node.wait_until_finished(1)
        node.push(saved(late, tmp_path / "late.dcm"))
        node.wait_until_finished(2)

    first, second = (stored for stored in pacs.stored if stored.SOPClassUID == SR)
    (series,) = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert len({stored.SOPInstanceUID for stored in pacs.stored}) == len(pacs.stored) == 5


def test_a_pacs_that_is_away_then_full_then_well_gets_each_object_once(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    pacs = FakePacs(statuses=[0xA700], port=port)
    with running_node(tmp_path, pacs.destination(), delivery={"first_retry_s": 0.5, "longest_retry_s": 1.0}) as node:
        node.push(saved(make_cxr(), tmp_path / "film.dcm"))
        node.wait_until(lambda s: any("cannot be reached" in line["last_error"] for line in s["rounds"]))
        with pacs.listening(port):
            status = node.wait_until_finished(1)

    assert status["rounds"][0]["deliveries"] == {"fake": "2 accepted"}
    assert len({stored.SOPInstanceUID for stored in pacs.stored}) == len(pacs.stored) == 2


def test_a_pacs_that_refuses_is_not_asked_again_and_the_operator_is_told(tmp_path: Path) -> None:
    with FakePacs(statuses=[0xA900, 0xA900]).listening() as pacs, running_node(tmp_path, pacs.destination()) as node:
        node.push(saved(make_cxr(), tmp_path / "film.dcm"))
        status = node.wait_until_finished(1)

    assert status["rounds"][0]["deliveries"] == {"fake": "2 refused"}
    assert status["instances"][0]["place"] == "finished, not all delivered"
    assert pacs.stored == []


@pytest.fixture(scope="module")
def bad_day(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[RunningNode, dict[str, object], dict[str, str], FakePacs]:
    """A day of bad input: one study each, then the status and what the PACS got, with the node's broker contents."""
    folder = tmp_path_factory.mktemp("bad")
    films = {
        "colour": make_cxr(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0),
        "many frames": make_cxr(NumberOfFrames=2),
        "no pixels": make_cxr(PixelData=None),
        "window": make_cxr(WindowWidth="0"),
        "no patient id": make_cxr(PatientID=""),
        "short": make_cxr(PixelData=b"\0" * 100),
        "foot": make_cxr(BodyPartExamined="FOOT", StudyDescription="Foot"),
        "chest": make_cxr(),
    }
    with FakePacs().listening() as pacs, running_node(folder, pacs.destination(), flower={"enabled": True}) as node:
        for number, film in enumerate(films.values()):
            node.push(saved(film, folder / f"{number}.dcm"))
        status = node.wait_until_finished(len(films))
        _flower_is_behind_a_password(node)
        broker = node.redis_cli("KEYS", "*") + node.log.read_text()
    names = {name: film.StudyInstanceUID for name, film in films.items()}
    (folder / "broker.txt").write_text(broker)
    return node, status, names, pacs


def test_bad_input_gets_one_outcome_each_and_the_node_goes_on(bad_day: BadDay) -> None:
    _node, status, names, pacs = bad_day

    assert status["balanced"]
    assert status["received"] == len(names) == len(status["rounds"])
    outcomes = sorted(line["outcome"] for line in status["rounds"])
    assert outcomes.count("not_applicable") == 1
    assert outcomes.count("failed") == 2
    assert outcomes.count("refused") == 4
    assert sum(outcome in {"positive", "negative"} for outcome in outcomes) == 1
    assert all(
        line["reasons"] for line in status["rounds"] if line["outcome"] in {"failed", "refused", "not_applicable"}
    )
    reported = {stored.StudyInstanceUID for stored in pacs.stored}
    assert names["foot"] not in reported, "nobody wants an AI report in a foot study"
    assert names["no patient id"] in reported, "a refusal is a result with a reason"


def test_nothing_that_identifies_a_patient_is_in_logs_names_or_the_broker(bad_day: BadDay) -> None:
    node, status, names, _pacs = bad_day
    state = node.settings.node.state_dir
    told = json.dumps(status) + node.log.read_text() + (node.log.parent / "broker.txt").read_text()
    told += " ".join(str(path) for path in state.rglob("*"))

    for secret in (*SECRETS, *names.values()):
        assert secret not in told
    assert "stored" in told, "the log was really read"


def _flower_is_behind_a_password(node: RunningNode) -> None:
    """A generated one, in a file of its own."""
    port = node.settings.flower.port
    flowers.wait_for_flower(port)
    password = node.settings.node.run_dir / "flower-password"
    assert password.stat().st_mode & 0o077 == 0
    assert flowers.answer(port, "/workers") == 401
    assert flowers.answer(port, "/workers", headers=flowers.by("operator", password.read_text())) == 200
