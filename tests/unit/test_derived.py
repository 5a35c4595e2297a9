"""What every family of one image has in common: identity byte for byte, series and UIDs apart, when none is made."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import HTJ2K, JPEG2000, UID

from cxrnode.family import Family
from cxrnode.finding import Reading
from cxrnode.results.context import ResultContext
from cxrnode.results.encode import encode
from cxrnode.results.make import Told, make
from cxrnode.results.map import build_map
from cxrnode.results.presentation import build_presentation
from cxrnode.results.segmentation import build_segmentation
from cxrnode.results.series import SERIES
from cxrnode.settings.destination import families_wanted
from tests.builders import make_cxr
from tests.readings import analysed, context_for, radiograph_of, with_regions
from tests.studies import STUDIES
from tests.trips import sent

Build = Callable[[Dataset, Reading, ResultContext], Dataset]
BUILDERS: list[Build] = [build_presentation, build_segmentation, build_map]
IDENTITY = ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber", "StudyDate", "SpecificCharacterSet")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # on the odd values that some sources have


def build(builder: Build, source: FileDataset) -> bytes:
    return encode(builder(source, with_regions(analysed(source), source), context_for(source)))


def families_of(source: FileDataset, reading: Reading) -> dict[Family, Dataset]:
    made = make([Told(source, reading, radiograph_of())], families_wanted(()), context_for(source))
    return {one.family: one.dataset for one in made}


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("name", STUDIES)
def test_patient_and_study_come_back_as_they_were_in_every_character_set(builder: Build, name: str) -> None:
    source = sent(STUDIES[name]().sources[0])
    content = source.PatientName.original_string if source.get("PatientName") else b""

    made = dcmread(io.BytesIO(build(builder, source)))

    for keyword in IDENTITY:
        assert str(made.get(keyword) or "") == str(source.get(keyword) or ""), keyword
    assert content in encode(made)


@pytest.mark.parametrize("builder", BUILDERS)
def test_the_same_inputs_give_the_same_bytes(builder: Build) -> None:
    content = encode(make_cxr())

    first, second = (build(builder, dcmread(io.BytesIO(content))) for _ in range(2))

    assert first == second


@pytest.mark.parametrize("builder", BUILDERS)
def test_every_real_film_has_one_of_each(builder: Build, shared_data: Path) -> None:
    films = sorted(path for path in (shared_data / "dicom" / "chest").iterdir() if path.is_file())
    for film in films:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # real headers have values that pydicom remarks on
            source = dcmread(film)
            made = dcmread(io.BytesIO(build(builder, source)))

            assert made.PatientName == source.PatientName
            assert made.StudyInstanceUID == source.StudyInstanceUID


def test_every_result_of_a_source_carries_the_very_same_bytes() -> None:
    """Escape sequences may be written in more than one way, and archives compare bytes."""
    korean = b"\x1b$)C\xb1\xe8\xc8\xf1\x1b(B\\Kim^A "
    placeholder = "K" * len(korean)
    film = encode(make_cxr(SpecificCharacterSet=["", "ISO 2022 IR 149"], OtherPatientNames=placeholder))
    source = dcmread(io.BytesIO(film.replace(placeholder.encode(), korean)))

    made = families_of(source, with_regions(analysed(source), source))

    assert [korean in encode(dataset) for dataset in made.values()] == [True] * len(made)


def test_a_positive_has_every_family_each_in_a_series_of_its_own() -> None:
    source = make_cxr()

    made = families_of(source, with_regions(analysed(source), source))

    assert set(SERIES) == set(made)
    assert len({dataset.SOPInstanceUID for dataset in made.values()}) == len(made)
    assert len({dataset.SeriesInstanceUID for dataset in made.values()}) == len(made)
    assert len({dataset.SeriesNumber for dataset in made.values()}) == len(made)


def test_without_regions_there_is_nothing_to_outline() -> None:
    source = make_cxr()

    made = families_of(source, analysed(source))

    assert not {Family.PRESENTATION, Family.SEGMENTATION} & set(made)
    assert Family.MAP in made


def test_a_film_that_names_no_series_cannot_be_drawn_upon_but_has_a_picture_and_a_map() -> None:
    source = make_cxr(SeriesInstanceUID=None)

    made = families_of(source, with_regions(analysed(source), source))

    assert not {Family.PRESENTATION, Family.SEGMENTATION} & set(made)
    assert {Family.OVERLAY, Family.MAP} <= set(made)
    assert "SourceImageSequence" not in made[Family.MAP]


def test_of_an_empty_map_no_map_is_made() -> None:
    source = make_cxr()

    assert Family.MAP not in families_of(source, analysed(source, peak=0.0))


@pytest.mark.parametrize("syntax", [JPEG2000, HTJ2K])
def test_a_film_in_a_lossy_syntax_that_does_not_say_so_is_said_to_have_lost(syntax: UID) -> None:
    source = make_cxr(LossyImageCompression=None)
    source.file_meta.TransferSyntaxUID = syntax

    assert dcmread(io.BytesIO(build(build_segmentation, source))).LossyImageCompression == "01"
