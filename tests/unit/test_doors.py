"""The doors: what the commands print and answer, as a user calls them."""

import json
import socket
import subprocess
import sys
from pathlib import Path

from tests.builders import make_cxr
from tests.fakes import FakePacs
from tests.nodes import saved


def cxrnode(folder: Path, *arguments: str, settings: str = "") -> subprocess.CompletedProcess[str]:
    config = folder / "node.toml"
    config.write_text(f'[node]\nstate_dir = "{folder / "state"}"\n{settings}')
    command = [sys.executable, "-m", "cxrnode.cli", "--config", str(config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_three_mistakes_in_the_settings_are_one_message_and_exit_status_2(tmp_path: Path) -> None:
    told = cxrnode(tmp_path, "check", settings='[receiving]\nport = "eleven"\nquiet_s = -1\n[flowre]\nport = 1\n')

    assert told.returncode == 2
    assert "3 faults" in told.stderr
    for fault in ("receiving.port = 'eleven'", "receiving.quiet_s = -1", "flowre"):
        assert fault in told.stderr
    assert "Traceback" not in told.stderr


def test_status_of_a_node_that_received_nothing_balances(tmp_path: Path) -> None:
    told = cxrnode(tmp_path, "status", "--json")

    assert told.returncode == 0
    said = json.loads(told.stdout)
    (receiver,) = said.pop("receivers")
    assert said == {"received": 0, "balanced": True, "instances": [], "rounds": [], "away": []}
    assert (receiver["name"], receiver["pid"]) == ("receiving", None)


def test_check_names_what_is_wrong_and_what_is_well(tmp_path: Path) -> None:
    with FakePacs().listening() as pacs, socket.create_server(("127.0.0.1", 0)) as taken:
        destinations = "".join(
            f'[[destinations]]\nname = "{name}"\nae_title = "FAKEPACS"\n'
            f'host = "127.0.0.1"\nport = {port}\ntimeout_s = 2\n'
            for name, port in (("there", pacs.port), ("nobody", 1))
        )
        port = taken.getsockname()[1]
        none = "[metrics]\nreceiver_port = 0\nanalysis_port = 0\ndelivery_port = 0\n[flower]\nenabled = false\n"
        told = cxrnode(tmp_path, "check", "--json", settings=f"[receiving]\nport = {port}\n{none}{destinations}")

    assert told.returncode == 1
    found = {line["what"]: line for line in json.loads(told.stdout)}
    wrong = {what for what, line in found.items() if not line["well"]}
    assert wrong == {"receiver", "destination nobody"}
    assert "cannot be reached" in found["destination nobody"]["told"]


def test_check_names_the_families_that_a_pacs_does_not_take(tmp_path: Path) -> None:
    reports_alone = FakePacs(storage_classes=["1.2.840.10008.5.1.4.1.1.88.34"])
    with reports_alone.listening() as pacs:
        destination = (
            f'[[destinations]]\nname = "old"\nae_title = "FAKEPACS"\nhost = "127.0.0.1"\nport = {pacs.port}\n'
            'send = { positive = ["report", "overlay", "keyobjects"] }\n'
        )
        told = cxrnode(tmp_path, "check", "--json", settings=destination)

    (line,) = (line for line in json.loads(told.stdout) if line["what"] == "destination old")
    assert not line["well"]
    assert "does not take overlay (Secondary Capture Image Storage), keyobjects (Key Object Selection" in line["told"]


def test_analyse_prints_a_line_an_instance_and_writes_what_a_person_can_look_at(tmp_path: Path) -> None:
    film, foot = make_cxr(), make_cxr(BodyPartExamined="FOOT", StudyDescription="Foot")
    folder = tmp_path / "in"
    folder.mkdir()
    saved(film, folder / "a.dcm")
    saved(foot, folder / "b.dcm")
    (folder / "c.txt").write_text("not DICOM at all")

    arguments = ("analyse", str(folder), "--out", str(tmp_path / "out"), "--json")
    told = cxrnode(tmp_path, *arguments, settings='[rules]\ngate = "off"\n')  # for a made-up film is no chest film

    assert told.returncode == 1, "one file failed"
    chest, tibia, text = (json.loads(line) for line in told.stdout.splitlines())
    keys = ["file", "sop_instance_uid", "outcome", "reason", "probability", "operating_point", "prevalence"]
    assert list(chest) == [*keys, "lung_share", "localised", "route", "model", "objects"]
    assert chest["outcome"] in {"positive", "negative"}
    assert 0 <= chest["probability"] <= 1
    assert chest["sop_instance_uid"] == film.SOPInstanceUID
    assert {"report.dcm", "overlay-1.dcm"} <= {Path(name).name for name in chest["objects"]}
    assert {"report.html", "overlay-1.png"} <= {path.name for path in (tmp_path / "out" / "study-0001").iterdir()}
    assert (tibia["outcome"], tibia["objects"]) == ("not_applicable", [])
    assert (text["outcome"], text["probability"]) == ("failed", None)
    assert "cannot be parsed as DICOM" in text["reason"]


def test_a_made_up_film_that_calls_itself_a_chests_is_refused_by_its_pixels(tmp_path: Path) -> None:
    film = saved(make_cxr(), tmp_path / "film.dcm")

    told = cxrnode(tmp_path, "analyse", str(film), "--json")

    (line,) = (json.loads(line) for line in told.stdout.splitlines())
    assert (line["outcome"], line["probability"]) == ("refused", None)
    assert line["reason"].startswith("The pixels look like no frontal chest film (gate ")


def test_an_unknown_model_is_named_with_those_that_exist(tmp_path: Path) -> None:
    film = saved(make_cxr(), tmp_path / "film.dcm")

    told = cxrnode(tmp_path, "analyse", str(film), settings='[model]\nname = "nothing-like-it"\n')

    assert told.returncode == 2
    assert "nothing-like-it" in told.stderr
    assert "pneumonia-efficientnet-lite0" in told.stderr
