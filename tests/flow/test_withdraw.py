"""Results found bad are withdrawn through a real node: a rejection note wherever they are, and none anywhere else."""

import json
from pathlib import Path
from typing import Any

import pydicom
from pydicom import Dataset

from cxrnode.commands.samples import free_ports
from tests.builders import make_cxr
from tests.fakes import FakePacs
from tests.nodes import RunningNode, running_node, saved
from tests.orthanc import running_orthanc

KOS = "1.2.840.10008.5.1.4.1.1.88.59"
WHY = "The operating point was set for another machine."
SECRETS = ("Zzsynthetic", "ZZ-PID-0001", "ACC-77001", WHY)


def test_each_pacs_is_told_of_exactly_what_it_took_and_who_took_nothing_is_told_nothing(tmp_path: Path) -> None:
    film = make_cxr()
    with (
        FakePacs(statuses=[0x0000, 0xA900]).listening() as half,
        FakePacs(statuses=[0xA900] * 2).listening() as none,
        running_node(tmp_path, half.destination(name="half"), none.destination(name="none")) as node,
    ):
        node.push(saved(film, tmp_path / "film.dcm"))
        before = node.wait_until_finished(1)
        assert withdrawn(node, "--study", before["rounds"][0]["study"], "--dry-run")["dry_run"]
        assert node.status() == before
        (told,) = withdrawn(node, "--study", before["rounds"][0]["study"])["rounds"]
        status = node.wait_until(lambda s: bool(s["rounds"][0]["notes"]) and s["rounds"][0]["state"] == "finished")
        (again,) = withdrawn(node, "--study", before["rounds"][0]["study"])["rounds"]
        table = node.cxrnode("status").stdout

    (line,) = status["rounds"]
    assert told["taken"] == {"half": ["report"]}
    assert (again["taken"], again["withdrawn_before"]) == (told["taken"], line["withdrawn_at"])
    assert line["deliveries"] == before["rounds"][0]["deliveries"]
    assert (line["withdrawn"], line["notes"]) == (WHY, {"half": "1 accepted"})
    assert status["balanced"]
    assert [place["place"] for place in status["instances"]] == ["withdrawn"]
    assert f"UTC: {WHY} (rejection notes: half: 1 accepted)" in table
    report, note = half.stored
    rejects(note, [report])
    assert (note.PatientName, note.PatientID) == (film.PatientName, film.PatientID)
    assert len(none.attempts) == 2
    assert none.stored == []
    logged = node.log.read_text() + " ".join(str(path) for path in node.settings.node.state_dir.rglob("*"))
    assert "rejection note made" in logged
    assert not [secret for secret in (*SECRETS, film.StudyInstanceUID) if secret in logged]


def test_what_waits_for_a_pacs_that_is_away_never_reaches_it(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    away = FakePacs(port=port)
    retries = {"first_retry_s": 0.5, "longest_retry_s": 1.0}
    with (
        FakePacs().listening() as pacs,
        running_node(tmp_path, pacs.destination(), away.destination(name="away"), delivery=retries) as node,
    ):
        node.push(saved(make_cxr(), tmp_path / "film.dcm"))
        node.wait_until(lambda s: any(line["deliveries"].get("fake") == "2 accepted" for line in s["rounds"]))
        model = node.status()["rounds"][0]["model"].partition(" ")[0]
        (told,) = withdrawn(node, "--model", model)["rounds"]
        with away.listening(port):
            node.wait_until(lambda s: bool(s["rounds"][0]["notes"]) and s["rounds"][0]["state"] == "finished")
            node.push(saved(make_cxr(), tmp_path / "another.dcm"))
            status = node.wait_until_finished(2)

    assert told["cancelled"] == {"away": ["report", "overlay"]}
    another, first = status["rounds"]
    assert first["deliveries"] == {"away": "2 withdrawn", "fake": "2 accepted"}
    assert first["notes"] == {"fake": "1 accepted"}
    assert another["deliveries"] == {"away": "2 accepted", "fake": "2 accepted"}
    assert len(away.attempts) == 2, "only the other study's"


def test_a_real_orthanc_files_the_note_beside_the_results_it_rejects(tmp_path: Path) -> None:
    with running_orthanc(tmp_path) as orthanc, running_node(tmp_path, orthanc.destination) as node:
        node.push(saved(make_cxr(), tmp_path / "film.dcm"))
        node.wait_until_finished(1)
        results = filed(tmp_path, orthanc.files())
        withdrawn(node, "--study", node.status()["rounds"][0]["study"])
        node.wait_until(lambda s: s["rounds"][0]["notes"] == {"orthanc": "1 accepted"})
        everything = filed(tmp_path, orthanc.files())

    (note,) = (one for one in everything if one.SOPClassUID == KOS)
    assert len(everything) == len(results) + 1 == 3
    rejects(note, results)


def withdrawn(node: RunningNode, *arguments: str) -> dict[str, Any]:
    """What `cxrnode withdraw` says that it has done."""
    told = node.cxrnode("withdraw", *arguments, "--reason", WHY, "--json")
    assert told.returncode == 0, told.stderr
    said: dict[str, Any] = json.loads(told.stdout)
    return said


def rejects(note: Dataset, results: list[Dataset]) -> None:
    """The note is a rejection note of these results, all of them and no other, and says why."""
    assert note.SOPClassUID == KOS
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    assert WHY in [item.TextValue for item in note.ContentSequence if item.ValueType == "TEXT"]
    referred = [item.ReferencedSOPSequence[0] for item in note.ContentSequence if "ReferencedSOPSequence" in item]
    assert {one.ReferencedSOPInstanceUID for one in referred} == {one.SOPInstanceUID for one in results}
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    evidence = {
        one.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert evidence == {one.SOPInstanceUID for one in results}
    assert study.StudyInstanceUID == note.StudyInstanceUID == results[0].StudyInstanceUID


def filed(folder: Path, contents: list[bytes]) -> list[Dataset]:
    """What an archive holds, read back."""
    path = folder / "filed.dcm"
    datasets = []
    for content in contents:
        path.write_bytes(content)
        datasets.append(pydicom.dcmread(path))
    return datasets
