"""Results for people without a viewer: every family becomes a page or a picture, from files, folders and the spool."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from typer.testing import CliRunner

from cxrnode.analyse import Analysis, analyse
from cxrnode.cli import app
from cxrnode.commands.offline import group, write_objects
from cxrnode.commands.show import exhibit, show
from cxrnode.errors import Unknown, Unreadable
from cxrnode.family import Family
from cxrnode.ledger.naming import study_key_of
from cxrnode.results.tracking import COLOUR
from cxrnode.settings import Settings
from cxrnode.study import Study
from tests.builders import make_cxr
from tests.desks import open_desk, read_all, receive
from tests.fakes import FakeModel
from tests.nodes import saved

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PAGES = {Family.REPORT, Family.KEY_OBJECTS}


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return saved(make_cxr(), tmp_path / "film.dcm")


@pytest.fixture
def read(film: Path, tmp_path: Path) -> tuple[Study, Analysis]:
    (study,) = group([film])
    (analysis,) = analyse([study], FakeModel(), settings_in(tmp_path), NOW)
    return study, analysis


@pytest.fixture
def results(read: tuple[Study, Analysis], tmp_path: Path) -> dict[Family, Path]:
    """Every family's file, away from what is made of it beside."""
    folder = tmp_path / "results"
    folder.mkdir()
    files = {item.family: folder / f"{item.family}.dcm" for item in read[1].objects}
    for item in read[1].objects:
        files[item.family].write_bytes(item.content)
    return files


def settings_in(folder: Path) -> Settings:
    return Settings(node={"state_dir": folder / "state"})  # type: ignore[arg-type]  # pydantic makes a Node of it


def shown(out: Path, *wanted: str | Path, settings: Settings | None = None) -> dict[str, Path]:
    """What is written, by its name in the folder of the round; the index by its own."""
    show(list(map(str, wanted)), settings or settings_in(out), out, as_json=True)
    return {path.name: path for path in out.rglob("*") if path.is_file()}


def test_every_family_becomes_a_page_or_a_picture_with_an_index_that_leads_to_each(
    results: dict[Family, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(results) == set(Family)

    written = shown(tmp_path / "out", *results.values())

    told = json.loads(capsys.readouterr().out)
    assert sorted(told) == sorted(map(str, written.values()))
    assert told[0] == str(tmp_path / "out" / "index.html")
    families = {name.partition("-")[0].partition(".")[0]: path.suffix for name, path in written.items()}
    assert families == {"index": ".html"} | {family: ".html" if family in PAGES else ".png" for family in Family}
    page = written["index.html"].read_text(encoding="utf-8")
    addresses = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert addresses == {str(Path(one).relative_to(tmp_path / "out")) for one in told[1:]}
    assert not re.search(r"https?://|@import|url\(", page)
    assert "POSITIVE" in page
    assert "0.9000" in page


def test_overlay_and_map_are_the_objects_own_pixels(results: dict[Family, Path], tmp_path: Path) -> None:
    written = shown(tmp_path / "out", results[Family.OVERLAY], results[Family.MAP])

    for family, name in ((Family.OVERLAY, "overlay-1.png"), (Family.MAP, "map-1.png")):
        assert np.array_equal(pixels(written[name]), dcmread(results[family]).pixel_array)


@pytest.mark.parametrize("family", [Family.PRESENTATION, Family.SEGMENTATION])
def test_regions_lie_on_the_film_where_it_is_given_and_on_plain_grey_where_not(
    family: Family, film: Path, results: dict[Family, Path], tmp_path: Path
) -> None:
    alone = pixels(shown(tmp_path / "alone", results[family])[f"{family}-1.png"])
    beside = pixels(shown(tmp_path / "beside", results[family], film)[f"{family}-1.png"])

    mask = dcmread(results[Family.SEGMENTATION]).pixel_array.reshape(-1, 256, 240).any(axis=0)
    assert alone.shape == beside.shape
    picture = alone[:256]
    grey = (picture == 127).all(axis=-1) | (picture == 128).all(axis=-1)
    assert grey[~mask].mean() > 0.9
    drawn = (picture == COLOUR).all(axis=-1) if family is Family.PRESENTATION else ~grey
    rows, columns = np.nonzero(drawn)
    assert [rows.max(), columns.min(), columns.max()] == pytest.approx(
        [np.nonzero(mask)[0].max(), np.nonzero(mask)[1].min(), np.nonzero(mask)[1].max()], abs=3
    )
    assert len(np.unique(beside[:200])) > 50, "the film's own greys"
    assert (alone[256:] == beside[256:]).all(), "the strip that says what it is not for"
    assert (alone[256:] < 60).any()


def test_the_key_objects_page_lists_what_is_selected(results: dict[Family, Path], film: Path, tmp_path: Path) -> None:
    page = shown(tmp_path / "out", results[Family.KEY_OBJECTS])["keyobjects.html"].read_text(encoding="utf-8")

    for words in ("Of Interest", dcmread(film).SOPInstanceUID, "NOT FOR PRIMARY DIAGNOSIS", "Zzsynthetic^Patient"):
        assert words in page, words


def test_a_folder_is_shown_whole_whatever_else_lies_in_it(read: tuple[Study, Analysis], tmp_path: Path) -> None:
    folder = tmp_path / "analysed"
    write_objects(read[0], read[1], folder)
    saved(make_cxr(), folder / "another-film.dcm")
    (folder / "notes.txt").write_text("not DICOM", encoding="utf-8")

    written = shown(tmp_path / "out", folder)

    assert len([name for name in written if name != "index.html"]) == len(read[1].objects)


def test_a_round_is_shown_beside_the_films_that_it_covers(tmp_path: Path) -> None:
    desk, first = open_desk(tmp_path / "state", ()), make_cxr()
    for film in (first, make_cxr(StudyInstanceUID=first.StudyInstanceUID)):
        receive(desk, film)
        read_all(desk)

    show([first.StudyInstanceUID], desk.settings, tmp_path / "out", as_json=False)

    folders = sorted((tmp_path / "out").glob("result-*"))
    assert [len(list(folder.glob("source-*.png"))) for folder in folders] == [1, 2]
    assert [len(list(folder.glob("overlay-*.png"))) for folder in folders] == [1, 2]


@pytest.mark.parametrize("by", ["key", "beginning of the key", "Study Instance UID"])
def test_a_study_in_the_ledger_is_shown_with_its_sources_and_all_its_rounds(by: str, tmp_path: Path) -> None:
    desk, source = open_desk(tmp_path / "state", ()), make_cxr()
    receive(desk, source)
    read_all(desk)
    key = study_key_of(desk.ledger, source.StudyInstanceUID) or ""
    name = {"key": key, "beginning of the key": key[:8], "Study Instance UID": source.StudyInstanceUID}[by]

    written = shown(tmp_path / "out", name, settings=desk.settings)

    assert {"index.html", "report.html", "overlay-1.png", "source-1.png"} <= set(written)
    assert source.StudyInstanceUID not in " ".join(map(str, written.values())), "no file is called by a UID"


def test_a_study_that_nobody_knows_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    desk = open_desk(tmp_path / "state", ())
    for settings in (settings_in(tmp_path / "fresh"), desk.settings):
        with pytest.raises(Unknown, match=r"'1\.2\.3' is no file"):
            show(["1.2.3"], settings, tmp_path / "out", as_json=False)

    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "fresh").exists()


def test_a_file_that_is_no_dicom_or_none_of_ours_is_told_by_name(
    film: Path, results: dict[Family, Path], tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("hello", encoding="utf-8")
    stranger = saved(make_cxr(), tmp_path / "stranger.dcm")
    cases = {
        (tmp_path / "note.txt",): "note.txt cannot be parsed as DICOM",
        (film,): "film.dcm is no result of cxrnode",
        (results[Family.REPORT], stranger): "stranger.dcm is no result of cxrnode",
    }
    for wanted, told in cases.items():
        with pytest.raises(Unreadable, match=told):
            show(list(map(str, wanted)), settings_in(tmp_path), tmp_path / "out", as_json=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unreadable, match=r"there is no result of cxrnode in .*empty"):
        show([str(tmp_path / "empty")], settings_in(tmp_path), tmp_path / "out", as_json=False)


def test_the_command_prints_every_path_and_ends_with_2_where_there_is_nothing(
    results: dict[Family, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    told = CliRunner().invoke(app, ["show", str(results[Family.REPORT]), "--out", str(out)])
    assert told.stdout.split() == [str(out / "index.html"), str(out / "result-1" / "report.html")]

    failed = subprocess.run(
        [sys.executable, "-m", "cxrnode.cli", "show", "1.2.3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 2
    assert failed.stderr.startswith("cxrnode: '1.2.3' is no file")
    assert len(failed.stderr.splitlines()) == 1


def test_what_analyse_writes_has_a_page_or_a_picture_beside_each_object(
    read: tuple[Study, Analysis], tmp_path: Path
) -> None:
    names = [Path(name) for name in write_objects(read[0], read[1], tmp_path / "out")]

    for path in names:
        family = path.stem.partition("-")[0]
        assert path.with_suffix(".html" if family in PAGES else ".png").is_file()


def test_the_demonstration_shows_a_study_with_all_that_came_back(read: tuple[Study, Analysis], tmp_path: Path) -> None:
    returned = [Path(name) for name in write_objects(read[0], read[1], tmp_path / "back")]

    one = exhibit(read[0], None, returned, tmp_path / "out")

    assert one.objects == len(returned) == len(one.results)
    assert [result.family for result in one.results][:2] == [Family.OVERLAY, Family.REPORT]
    assert all((tmp_path / "out" / name).is_file() for name in (*one.sources, *(each.address for each in one.results)))


def pixels(path: Path) -> NDArray[np.generic]:
    with Image.open(path) as picture:
        return np.asarray(picture)
