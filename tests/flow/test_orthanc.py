"""Real radiographs pushed by DCMTK, read by the node, filed by Orthanc, and judged by dciodvfy: the main job, whole."""

import csv
import json
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.uid import generate_uid

from cxrnode.commands.samples import free_ports
from cxrnode.family import MADE_OF, Family
from cxrnode.finding import Outcome
from cxrnode.results.series import SERIES
from cxrnode.settings import Settings
from models.card import find
from models.reader import load
from tests.builders import make_cxr
from tests.nodes import running_node, saved
from tests.orthanc import running_orthanc
from tests.peers import program

SR, SC = SERIES[Family.REPORT].sop_class_uid, SERIES[Family.OVERLAY].sop_class_uid
ON_REGIONS = [SERIES[family].sop_class_uid for family in (Family.PRESENTATION, Family.SEGMENTATION)]
KEY_OBJECTS = SERIES[Family.KEY_OBJECTS].sop_class_uid
EVERYTHING = {outcome.value: list(MADE_OF[outcome]) for outcome in Outcome if outcome is not Outcome.NOT_APPLICABLE}
FILMS = 100


@dataclass(frozen=True)
class Day:
    """What was pushed, and what the node, Orthanc and `cxrnode analyse` made of it."""

    settings: Settings
    pushed: list[Path]
    status: dict[str, Any]
    filed: list[Dataset]
    files: list[Path]
    analysed: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def day(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The chest files of shared/data and 100 films of its test split, one study each, through a node into Orthanc."""
    folder = tmp_path_factory.mktemp("orthanc")
    (port,) = free_ports(1)
    pushed = sorted((shared_data / "dicom" / "chest").iterdir()) + wrapped_films(shared_data, folder)
    with (
        running_orthanc(folder, port) as orthanc,
        running_node(
            folder,
            orthanc.taking(EVERYTHING | {"failed": []}),
            rules={"gate": "refuse"},
            receiving={"port": port},
        ) as node,
    ):
        sender = [program("dcmsend"), "-aet", "MODALITY", "-aec", "CXRNODE", "127.0.0.1", str(port)]
        subprocess.run([*sender, *map(str, pushed)], check=True, timeout=120, capture_output=True)
        status = node.wait_until_finished(len(pushed))
        told = node.cxrnode("analyse", *map(str, pushed), "--json", patience_s=600)
        received = orthanc.files()
    files = []
    for number, content in enumerate(received):
        files.append(folder / f"filed-{number}.dcm")
        files[-1].write_bytes(content)
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    return Day(
        node.settings,
        pushed,
        status,
        [pydicom.dcmread(file) for file in files],
        files,
        {line["file"]: line for line in lines},
    )


def wrapped_films(shared_data: Path, folder: Path) -> list[Path]:
    """Films of the Kermany test split as 8-bit DX images of made-up children."""
    with (shared_data / "kermany" / "full224_manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"][:: 525 // FILMS][:FILMS]
    files = []
    for number, row in enumerate(rows):
        pixels = np.asarray(Image.open(shared_data / row["file"]).convert("L"))
        study = {
            "StudyInstanceUID": generate_uid(),
            "WindowCenter": None,
            "WindowWidth": None,
            "PatientID": f"ZZ-{number}",
        }
        files.append(saved(make_cxr(pixels, bits_stored=8, **study), folder / f"film-{number:02d}.dcm"))
    return files


def test_every_study_has_exactly_one_outcome_and_every_instance_a_place(day: Day) -> None:
    assert day.status["balanced"]
    assert day.status["received"] == len(day.pushed) == len(day.status["rounds"])
    assert all(line["outcome"] for line in day.status["rounds"])
    outcomes = Counter(line["outcome"] for line in day.status["rounds"])
    assert outcomes["failed"] == 2, "the two headers without pixels"
    assert outcomes["refused"] == 1, "the one without a Patient ID"


def test_each_study_has_every_family_that_its_outcome_has_in_orthanc(day: Day) -> None:
    filed = Counter((str(dataset.StudyInstanceUID), str(dataset.SOPClassUID)) for dataset in day.filed)
    for file in day.pushed:
        study = str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)
        outcome = day.analysed[str(file)]["outcome"]
        read = outcome in {"positive", "negative"}
        assert filed[study, SC] in ({1, 2} if read else {0}), (
            file.name,
            outcome,
        )  # overlay, and a map if it is not empty
        assert filed[study, SR] == int(read or outcome == "refused"), (file.name, outcome)
        assert filed[study, KEY_OBJECTS] == int(outcome == "positive"), (file.name, outcome)
        shown = outcome == "positive" and day.analysed[str(file)]["localised"] is not False
        for sop_class in ON_REGIONS:
            assert filed[study, sop_class] == int(shown), (file.name, outcome)


def test_everything_sent_is_committed(day: Day) -> None:
    sent = [told for line in day.status["rounds"] for told in line["deliveries"].values()]

    assert sent
    assert all(told.endswith(" committed") and "," not in told for told in sent), sent
    assert {line["place"] for line in day.status["instances"]} == {"finished, delivered", "finished, nothing to send"}


def test_the_referee_finds_no_error_in_anything_filed(day: Day) -> None:
    for file in day.files:
        told = subprocess.run([program("dciodvfy"), "-new", str(file)], capture_output=True, text=True, check=False)
        assert "Error" not in told.stderr + told.stdout, (file.name, told.stderr)


def test_the_probability_is_the_same_in_the_report_in_analyse_and_from_the_model(day: Day) -> None:
    model = day.settings.model
    reader = load(find(model.name, model.zoo), "cpu", 1)
    reported = {str(d.StudyInstanceUID): probability_in(d) for d in day.filed if d.SOPClassUID == SR}
    films = [file for file in day.pushed if file.name.startswith("film-")]
    assert len(films) == FILMS
    for file in films:
        film = pydicom.dcmread(file)
        (finding,) = reader.read([film.pixel_array.astype(np.float32) / np.float32(255)])
        analysed = day.analysed[str(file)]["probability"]
        assert analysed == pytest.approx(finding.probability, abs=1e-6)
        assert reported[str(film.StudyInstanceUID)] == pytest.approx(finding.probability, abs=1e-6)


def probability_in(report: Dataset) -> float | None:
    """The value of (122157, DCM, "Probability") in a report, as a reader of the content tree finds it."""
    waiting = [report]
    while waiting:
        item = waiting.pop()
        if item.get("ConceptNameCodeSequence") and item.ConceptNameCodeSequence[0].CodeValue == "122157":
            measured = item.MeasuredValueSequence[0]
            return float(measured.get("FloatingPointValue", measured.NumericValue))
        waiting += item.get("ContentSequence", [])
    return None
