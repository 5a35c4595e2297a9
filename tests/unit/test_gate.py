"""The gate that ships: real films pass, turned, inverted and foreign pictures are refused in the right words."""

import csv
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from cxrnode.analyse import Analysis, analyse
from cxrnode.commands.offline import group
from cxrnode.decoding.pixels import read_radiograph
from cxrnode.errors import ModelMismatch
from cxrnode.finding import Finding, Outcome, Refusal
from cxrnode.results.readback import image_results
from cxrnode.settings import Settings
from models.algorithm import beside
from models.card import ZOO_DIR
from models.gate import Gate, Seen, load, sentence
from models.gatecard import GATE, Limits, check_gate, find_gate
from models.gatenet import KINDS
from models.guarded import Guarded
from tests.builders import chest_like, make_cxr
from tests.fakes import ALGORITHM, FakeModel
from tests.nodes import saved

Radiograph = NDArray[np.float32]
TURNS = {
    "turned a quarter clockwise": lambda film: np.rot90(film, -1),
    "upside-down": lambda film: np.rot90(film, 2),
    "turned a quarter anticlockwise": lambda film: np.rot90(film, 1),
    "greys inverted": lambda film: 1 - film,
}
LIMITS = Limits(frontal=0.8, distance=1.5, rule="made up")
FOREIGN = ("xray/robyoung__J2KI_RG2_J2KI", "xray/robyoung__J2KI_RG3_J2KI", "xray/robyoung__J2KR_XA1_J2KR",
           "xray/fo-dicom__Test_Data_CR-ModalitySequenceLUT.dcm", "xray/notZaki__DICOMSamples_MG_Explicit_Little.dcm",
           "other/robyoung__pydicom_693_J2KI.dcm", "other/robyoung__J2KI_MR4_J2KI")  # fmt: skip


class FakeReader(FakeModel):
    """A model in service that notes what it was warmed with."""

    device = torch.device("cpu")
    warmed = 0

    def warm(self) -> None:
        """Note it."""
        self.warmed += 1


@pytest.fixture(scope="module")
def gate() -> Gate:
    return load(ZOO_DIR / GATE)


def films(shared_data: Path, manifest: str, count: int) -> list[Radiograph]:
    """Every n-th film of the test split."""
    with (shared_data / manifest).open(newline="", encoding="utf-8") as file:
        rows = [row["file"] for row in csv.DictReader(file) if row["split"] == "test"]
    chosen = rows[:: len(rows) // count][:count]
    return [np.asarray(Image.open(shared_data / name).convert("L"), dtype=np.float32) / 255 for name in chosen]


@pytest.fixture(scope="module")
def chests(shared_data: Path) -> list[Radiograph]:
    """Children's and adults' films of the test splits."""
    return films(shared_data, "kermany/full224_manifest.csv", 8) + films(shared_data, "nih_adult/manifest.csv", 8)


def dicom(path: Path) -> Radiograph:
    return read_radiograph(pydicom.dcmread(path))


def test_films_of_children_and_adults_pass_and_their_mirror_images_too(
    gate: Gate, chests: Sequence[Radiograph]
) -> None:
    """Mirrored, the heart lies on the right: a finding, and not a fault of the picture."""
    mirrored = [np.ascontiguousarray(film[:, ::-1]) for film in chests]
    assert [gate.objection(film) for film in (*chests, *mirrored)] == [""] * 2 * len(chests)


@pytest.mark.parametrize("words", TURNS)
def test_a_film_that_is_turned_or_inverted_is_refused_in_the_right_words(
    gate: Gate, chests: Sequence[Radiograph], words: str
) -> None:
    objections = [gate.objection(np.ascontiguousarray(TURNS[words](film))) for film in chests]
    assert all(objections)
    assert sum(words in objection for objection in objections) >= len(chests) - 1
    assert all("wanted" in objection for objection in objections)


def test_the_dicom_films_of_chests_pass(gate: Gate, shared_data: Path) -> None:
    names = ("ivmartel__data_gdcm-CR-MONO1-10-chest.dcm", "robyoung__J2KI_RG1_J2KI")
    assert [gate.objection(dicom(shared_data / "dicom" / "chest" / name)) for name in names] == ["", ""]


@pytest.mark.parametrize("name", FOREIGN)
def test_other_parts_of_the_body_and_other_pictures_are_refused_by_their_pixels(
    gate: Gate, shared_data: Path, name: str
) -> None:
    assert gate.objection(dicom(shared_data / "dicom" / name))


def test_what_holds_nothing_is_refused_by_name(gate: Gate) -> None:
    small = np.zeros((400, 400), np.float32)
    small[180:220, 190:230] = np.linspace(0.2, 1, 40, dtype=np.float32)
    noise = np.random.default_rng(2).random((700, 600), dtype=np.float32)
    assert gate.objection(np.full((300, 200), 0.4, np.float32)).startswith("The picture is blank")
    assert gate.objection(noise).startswith("The picture is noise")
    assert gate.objection(small) == "The picture fills 1% of an otherwise empty frame; wanted 20% or more"


def test_a_phantom_of_two_dark_blots_is_refused(gate: Gate) -> None:
    assert "no frontal chest film" in gate.objection(chest_like().astype(np.float32) / 4095)


def test_each_limit_has_its_sentence() -> None:
    def seen(upright: float, distance: float, other: str = "other") -> Seen:
        shares = dict.fromkeys(KINDS, 0.0) | {"upright": upright, other: 1 - upright}
        return Seen("", shares, distance)

    assert sentence(seen(0.9, 1.0), LIMITS) == ""
    assert sentence(Seen("blank", {}, 0.0), LIMITS) == "blank"
    assert "upright frontal chest film (gate 0.70); wanted one with 0.80" in sentence(seen(0.7, 1.0), LIMITS)
    assert "(distance 1.60); wanted 1.50 or less" in sentence(seen(0.9, 1.6), LIMITS)
    assert sentence(seen(0.1, 1.0, "upside_down"), LIMITS) == (
        "The pixels look like an upside-down chest film (gate 0.90); wanted one that stands upright"
    )


def test_size_and_company_change_nothing(gate: Gate, chests: Sequence[Radiograph]) -> None:
    alone = [gate.look(film) for film in chests]
    with ThreadPoolExecutor(max_workers=4) as pool:
        assert list(pool.map(gate.look, chests)) == alone
    assert len({round(seen.distance, 3) for seen in alone}) > 4, "all alike proves nothing"


def test_a_process_that_did_not_load_the_gate_may_not_use_it(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(RuntimeError, match="each process"):
        gate.warm()


def analysed(film: Radiograph, gate: Gate, folder: Path, *, refuses: bool) -> Analysis:
    """What the whole path makes of a film that calls itself a chest's."""
    path = saved(make_cxr((film * 4095).astype(np.uint16)), folder / "film.dcm")
    model = Guarded(FakeReader(), gate, refuses=refuses)
    return analyse(group([path]), model, Settings(), datetime(2026, 1, 2, tzinfo=UTC))[0]


def told_of(analysis: Analysis, folder: Path) -> Any:
    (report,) = (item for item in analysis.objects if item.family == "report")
    (folder / "report.dcm").write_bytes(report.content)
    (told,) = image_results(pydicom.dcmread(folder / "report.dcm"))
    return told


def test_a_refusal_reaches_the_report_with_its_sentence(
    gate: Gate, chests: Sequence[Radiograph], tmp_path: Path
) -> None:
    analysis = analysed(np.rot90(chests[0], 2), gate, tmp_path, refuses=True)
    told = told_of(analysis, tmp_path)
    assert (told.outcome, told.probability) == (Outcome.REFUSED, None)
    assert told.comments[0].startswith("REFUSED: The pixels look like an upside-down chest film (gate ")
    assert [item.family for item in analysis.objects] == ["report"]


def test_with_warn_the_film_is_read_and_the_report_says_what_is_wrong(
    gate: Gate, chests: Sequence[Radiograph], tmp_path: Path
) -> None:
    analysis = analysed(np.rot90(chests[0], 2), gate, tmp_path, refuses=False)
    told = told_of(analysis, tmp_path)
    assert (told.outcome, told.probability) == (Outcome.POSITIVE, 0.9)
    assert any(comment.startswith("The pixels look like an upside-down chest film") for comment in told.comments)
    assert [item.family for item in analysis.objects][:2] == ["report", "overlay"]


def test_only_what_passes_is_read_and_every_answer_keeps_its_place(gate: Gate, chests: Sequence[Radiograph]) -> None:
    reader = FakeReader([0.1, 0.2])
    blank = np.full((300, 200), 0.4, np.float32)
    answers = Guarded(reader, gate, refuses=True).read([blank, chests[0], blank, chests[1]])
    assert [type(answer) for answer in answers] == [Refusal, Finding, Refusal, Finding]
    assert [answer.probability for answer in answers if isinstance(answer, Finding)] == [0.1, 0.2]
    assert reader.batches == [2]


def test_another_gate_makes_another_device_and_other_result_uids() -> None:
    one, other = beside(ALGORITHM, {"gate": "aa"}), beside(ALGORITHM, {"gate": "bb"})
    assert len({ALGORITHM.digest, one.digest, other.digest}) == 3
    assert len({ALGORITHM.device_uid, one.device_uid, other.device_uid}) == 3
    refuse, warn = (Settings(rules={"gate": mode}).result_digest for mode in ("refuse", "warn"))
    assert refuse != warn


def test_the_settings_choose_whether_anybody_looks(tmp_path: Path) -> None:
    assert find_gate("off") is None
    assert find_gate("refuse", tmp_path) == ZOO_DIR / GATE
    assert "nobody looks" in check_gate("off")
    assert "the weights are those on the card" in check_gate("warn")


def test_a_gate_whose_weights_are_not_the_cards_does_not_load(tmp_path: Path) -> None:
    own = tmp_path / GATE
    own.mkdir()
    for file in (ZOO_DIR / GATE).iterdir():
        (own / file.name).write_bytes(file.read_bytes())
    (own / "weights.safetensors").write_bytes((own / "weights.safetensors").read_bytes()[:-1] + b"\x01")
    assert find_gate("refuse", tmp_path) == own
    with pytest.raises(ModelMismatch, match="sha256"):
        check_gate("refuse", tmp_path)
