"""What waits for a person is begun anew through a real node, and reaches the PACS once."""

import json
from pathlib import Path

from cxrnode.faultpoints import Fault, Point
from tests.builders import make_cxr
from tests.fakes import FakePacs
from tests.nodes import running_node, saved

SHORT = {"time_limit_s": 6, "lease_s": 7, "max_attempts": 1}


def test_what_a_pacs_refused_is_sent_again_when_a_person_says_so_the_same_bytes_and_only_that(tmp_path: Path) -> None:
    film = make_cxr()
    with FakePacs(statuses=[0x0000, 0xA900]).listening() as pacs, running_node(tmp_path, pacs.destination()) as node:
        node.push(saved(film, tmp_path / "film.dcm"))
        before = node.wait_until_finished(1)
        (waits,) = json.loads(node.cxrnode("quarantine", "--json").stdout)
        (begun,) = json.loads(node.cxrnode("retry", film.StudyInstanceUID, "--json").stdout)["waiting"]
        status = node.wait_until(lambda s: s["rounds"][0]["deliveries"] == {"fake": "2 accepted"})
        node.wait_until_finished(1)
        again = node.cxrnode("retry", "--failed")
        unknown = node.cxrnode("trace", "1.2.3")
        trace = node.cxrnode("trace", waits["study"], "--json")

    assert before["rounds"][0]["deliveries"] == {"fake": "1 accepted, 1 refused"}
    assert (waits["destination"], waits["objects"], begun["begun"]) == ("fake", 1, True)
    assert status["balanced"]
    assert "Nothing waits for a person" in again.stdout
    report, refused, sent = pacs.attempts
    assert refused == sent != report
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    happened = [event["what"] for event in json.loads(trace.stdout)["events"]]
    assert happened == ["received", "complete", "analysed", "accepted", "accepted", "finished"]
    told = node.log.read_text() + trace.stdout
    assert not [secret for secret in (film.StudyInstanceUID, film.SOPInstanceUID, "Zzsynthetic") if secret in told]


def test_a_study_that_was_given_up_is_read_in_a_round_of_its_own_once_it_can_be(tmp_path: Path) -> None:
    hangs = tmp_path / Point.MID_ANALYSIS
    with (
        FakePacs().listening() as pacs,
        running_node(tmp_path, pacs.destination(), environment={"CXRNODE_FAULTS": str(tmp_path)}, queue=SHORT) as node,
    ):
        hangs.write_text(Fault.HANG)
        node.push(saved(make_cxr(), tmp_path / "film.dcm"))
        node.wait_until_finished(1)
        (waits,) = json.loads(node.cxrnode("quarantine", "--json").stdout)
        assert node.cxrnode("retry", waits["study"]).returncode == 0
        status = node.wait_until_finished(2)
        left = json.loads(node.cxrnode("quarantine", "--json").stdout)

    assert "stopped its worker" in waits["reason"]
    second, first = status["rounds"]
    assert (first["outcome"], second["round_number"]) == ("failed", 2)
    assert second["deliveries"] == {"fake": "2 accepted"}
    assert len({stored.SOPInstanceUID for stored in pacs.stored}) == len(pacs.stored) == 2
    assert (left, status["balanced"]) == ([], True)
