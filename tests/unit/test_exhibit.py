"""What came of a study is put where a person can look, whatever families there are: a page, pictures, and no more."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from cxrnode.analyse import Analysis, analyse
from cxrnode.family import Family
from cxrnode.offline import group, write_objects
from cxrnode.settings import Settings
from cxrnode.show import exhibit
from cxrnode.study import Study
from tests.builders import make_cxr
from tests.fakes import FakeModel
from tests.nodes import saved

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def read(tmp_path: Path) -> tuple[Study, Analysis]:
    (study,) = group([saved(make_cxr(), tmp_path / "film.dcm")])
    (analysis,) = analyse([study], FakeModel(), Settings(node={"state_dir": tmp_path}), NOW)
    return study, analysis


def test_every_family_is_written_and_a_picture_beside_what_is_one(read: tuple[Study, Analysis], tmp_path: Path) -> None:
    written = [Path(name) for name in write_objects(read[1], tmp_path / "out")]

    families = {path.stem.partition("-")[0] for path in written}
    assert {Family.REPORT, Family.OVERLAY, Family.PRESENTATION, Family.SEGMENTATION, Family.MAP} <= families
    shown = {path.stem.partition("-")[0]: path.suffix for path in (tmp_path / "out").iterdir() if path.suffix != ".dcm"}
    assert shown == {"report": ".html", "overlay": ".png", "map": ".png"}
    seen = next(path for path in written if path.stem.startswith("map"))
    with Image.open(seen.with_suffix(".png")) as picture:
        assert np.array_equal(np.asarray(picture), dcmread(seen).pixel_array)


def test_the_demonstration_shows_the_pictures_of_a_study_that_has_everything(
    read: tuple[Study, Analysis], tmp_path: Path
) -> None:
    study, analysis = read
    returned = [Path(name) for name in write_objects(analysis, tmp_path / "back")]

    shown = exhibit(study, None, returned, tmp_path / "out")

    assert shown.objects == len(returned)
    assert len(shown.overlays) == 2, "the overlay and the map"
    assert shown.report == "film/report.html"
    assert all((tmp_path / "out" / name).is_file() for name in (*shown.overlays, *shown.sources, shown.report))
