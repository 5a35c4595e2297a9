"""The capability sheet: an object of every kind for every outcome that has it, of films of nobody, and its words."""

from pathlib import Path

import pydicom
import pytest
from PIL import Image
from typer.testing import CliRunner

from cxrnode.cli import app
from cxrnode.conformance.samples import film_of
from cxrnode.decoding.pixels import read_radiograph
from cxrnode.errors import ModelMismatch, Unreadable
from cxrnode.family import MADE_OF
from cxrnode.finding import Outcome
from cxrnode.headers.eligible import choose
from cxrnode.settings import Rules

OUTCOMES = [outcome for outcome in Outcome if MADE_OF[outcome]]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes."""
    folder = tmp_path_factory.mktemp("samples")
    ended = CliRunner().invoke(app, ["conformance", "--samples", str(folder)])
    assert ended.output == f"{folder / 'capability.html'}\n"
    return folder


def test_there_is_an_object_of_every_kind_for_every_outcome_that_has_it(samples: Path) -> None:
    for outcome in OUTCOMES:
        names = {path.stem for path in (samples / outcome).glob("*.dcm")}
        assert names == {*MADE_OF[outcome], "withdrawal", "source"}


def test_every_object_is_about_its_source_and_of_nobody(samples: Path) -> None:
    for path in samples.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        source = pydicom.dcmread(path.parent / "source.dcm")
        assert dataset.StudyInstanceUID == source.StudyInstanceUID
        assert str(dataset.PatientName) == str(source.PatientName) == f"Zzmadeup^{path.parent.name.title()}"


def test_every_object_has_a_picture_or_a_page_and_the_sheet_links_to_all(samples: Path) -> None:
    sheet = (samples / "capability.html").read_text(encoding="utf-8")

    for path in samples.rglob("*"):
        if path.is_file() and path.parent != samples:
            assert f'href="{path.relative_to(samples)}"' in sheet
        if path.suffix == ".png":
            Image.open(path).verify()
    for words in ("pneumonia-efficientnet-lite0, version 2", "Parametric Map Storage", "POLYLINE", "Tracking UID"):
        assert words in sheet


def test_the_films_are_what_their_outcomes_say() -> None:
    refused, *others = (film_of(outcome) for outcome in (Outcome.REFUSED, Outcome.POSITIVE, Outcome.NEGATIVE))
    (verdict,) = choose([refused], Rules(), None)
    assert verdict.outcome is Outcome.REFUSED
    for film in others:
        assert choose([film], Rules(), None)[0].outcome is None
        assert read_radiograph(film).shape == (film.Rows, film.Columns)
    with pytest.raises(Unreadable):
        read_radiograph(film_of(Outcome.FAILED))


def test_a_model_that_there_is_not_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXRNODE_MODEL__NAME", "nowhere")

    ended = CliRunner().invoke(app, ["conformance", "--samples", str(tmp_path / "samples")])

    assert isinstance(ended.exception, ModelMismatch)
    assert not (tmp_path / "samples").exists()
