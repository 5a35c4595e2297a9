"""Completion by evidence, a whole node beside a real Orthanc that sent the study and is asked for it."""

from pathlib import Path

from pydicom.uid import generate_uid

from cxrnode.deliver import send
from tests.builders import make_cxr, remade
from tests.nodes import running_node, saved
from tests.orthanc import running_orthanc

HOUR_S = 3600.0


def test_a_study_is_read_as_soon_as_all_came_that_the_pacs_has(tmp_path: Path) -> None:
    """Quiet time would take an hour. Red (it waits) without `ask` in reception.turn."""
    film = make_cxr()
    films = [film, remade(film, SOPInstanceUID=generate_uid(), InstanceNumber=2)]
    files = [saved(one, tmp_path / f"{number}.dcm") for number, one in enumerate(films)]
    with running_orthanc(tmp_path) as orthanc:
        send(files, orthanc.destination, "CXRNODE", lambda _index, _sent: None)
        sender = {
            "ae_title": "ORTHANC",
            "addresses": ["127.0.0.1"],
            "return_port": orthanc.dicom_port,
            "query": True,
        }
        starter = {"ae_title": "MODALITY", "addresses": ["127.0.0.1"]}  # who looks whether the node is up
        receiving = {"senders": [sender, starter], "ask_after_s": 0.5, "quiet_s": HOUR_S, "longest_wait_s": HOUR_S}
        with running_node(tmp_path, orthanc.destination, receiving=receiving) as node:
            node.push(files[0], calling_ae="ORTHANC")
            node.wait_until(lambda status: [line["closed"] for line in status["rounds"]] == [""])
            node.push(files[1], calling_ae="ORTHANC")

            (line,) = node.wait_until_finished(1)["rounds"]
            check = node.cxrnode("check", "--json").stdout
            late = remade(film, SOPInstanceUID=generate_uid(), InstanceNumber=3)
            third = saved(late, tmp_path / "late.dcm")
            send([third], orthanc.destination, "CXRNODE", lambda _index, _sent: None)
            node.push(third, calling_ae="ORTHANC")
            told = node.wait_until_finished(2)["rounds"][0]

    assert (line["closed"], line["instances"], line["incomplete"]) == ("complete", 2, "")
    assert (told["round_number"], told["closed"], told["instances"]) == (2, "complete", 3)  # beside results of ours
    assert "answers C-ECHO and takes C-FIND" in check
