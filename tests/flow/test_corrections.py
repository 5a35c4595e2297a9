"""Corrected patient attributes through a real node: before analysis, before delivery, and after it."""

import json
from pathlib import Path
from typing import Any

from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from cxrnode.commands.samples import free_ports
from tests.builders import make_cxr, remade
from tests.fakes import FakePacs
from tests.nodes import running_node, saved

RIGHT = {"PatientID": "ZZ-RIGHT", "PatientName": "Zzright^Patient", "AccessionNumber": "ACC-RIGHT"}


def test_a_study_corrected_before_its_analysis_is_reported_under_the_corrected_attributes(tmp_path: Path) -> None:
    film = make_cxr()
    with (
        FakePacs().listening() as pacs,
        running_node(tmp_path, pacs.destination(), receiving={"quiet_s": 4.0}) as node,
    ):
        node.push(saved(film, tmp_path / "film.dcm"))
        node.push(saved(remade(film, **RIGHT), tmp_path / "corrected.dcm"), calling_ae="ARCHIVE")
        status = node.wait_until_finished(1)

    (line,) = status["rounds"]
    assert line["deliveries"] == {"fake": "2 accepted"}
    assert places(status) == {"finished, delivered": 1, "correction": 1}
    carries_right(pacs)


def test_a_study_corrected_while_its_pacs_is_away_is_read_again_and_only_that_arrives(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    film, pacs = make_cxr(), FakePacs(port=port)
    retries = {"first_retry_s": 0.5, "longest_retry_s": 1.0}
    with running_node(tmp_path, pacs.destination(), delivery=retries) as node:
        node.push(saved(film, tmp_path / "film.dcm"))
        node.wait_until(lambda s: any("cannot be reached" in line["last_error"] for line in s["rounds"]))
        node.push(saved(remade(film, **RIGHT), tmp_path / "corrected.dcm"))
        node.wait_until(lambda s: any(line["deliveries"] == {"fake": "2 superseded"} for line in s["rounds"]))
        with pacs.listening(port):
            status = node.wait_until_finished(2)

    second, first = status["rounds"]
    assert (first["round_number"], first["deliveries"]) == (1, {"fake": "2 superseded"})
    assert (second["round_number"], second["deliveries"]) == (2, {"fake": "2 accepted"})
    assert places(status) == {"finished, delivered": 1, "correction": 1}
    assert len(pacs.attempts) == 2
    assert not any("PredecessorDocumentsSequence" in stored for stored in pacs.stored)
    carries_right(pacs)


def test_a_study_corrected_after_delivery_is_told_of_and_sent_again_only_for_a_late_image(tmp_path: Path) -> None:
    film = make_cxr()
    late: FileDataset = remade(film, SOPInstanceUID=generate_uid(), InstanceNumber=2)
    with FakePacs().listening() as pacs, running_node(tmp_path, pacs.destination()) as node:
        node.push(saved(film, tmp_path / "film.dcm"))
        node.wait_until_finished(1)
        node.push(saved(remade(film, **RIGHT), tmp_path / "corrected.dcm"))
        told = node.wait_until(lambda s: bool(s["rounds"][0]["changed"]))
        table = node.cxrnode("status").stdout
        node.push(saved(late, tmp_path / "late.dcm"))
        status = node.wait_until_finished(2)
        log = node.log.read_text()

    (line,) = told["rounds"]
    assert (line["changed"], line["changed_instances"]) == (sorted(RIGHT), 1)
    assert f"changed after delivery: {', '.join(sorted(RIGHT))}; 1 instance" in table
    assert [line["round_number"] for line in status["rounds"]] == [2, 1]
    assert {stored.PatientID for stored in pacs.stored[:2]} == {film.PatientID}
    assert {stored.PatientID for stored in pacs.stored[2:]} == {"ZZ-RIGHT"}
    assert len(pacs.attempts) == 2 + 3
    assert not [value for value in RIGHT.values() if value in log + table + json.dumps(status)]


def carries_right(pacs: FakePacs) -> None:
    """Whatever the PACS was sent carries the corrected attributes."""
    assert len(pacs.stored) == 2
    for keyword, value in RIGHT.items():
        assert {str(stored[keyword].value) for stored in pacs.stored} == {value}


def places(status: dict[str, Any]) -> dict[str, int]:
    """Where the instances are; they sum to what was received."""
    assert status["balanced"]
    return {line["place"]: line["instances"] for line in status["instances"]}
