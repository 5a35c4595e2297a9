"""The map as data: the raw activation can be had again from the file alone, over the whole image."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.pixels import apply_modality_lut

from cxrnode.finding import Finding, Heatmap, MapMethod, Outcome, Reading, Span
from cxrnode.results.map import LONGEST_SIDE, build_map
from tests.builders import make_cxr
from tests.peers import program
from tests.readings import analysed, astray, context_for, heatmap, unread, written


def sized(rows: int, columns: int) -> FileDataset:
    return make_cxr(np.arange(rows * columns, dtype=np.uint16).reshape(rows, columns) % 4096)


def mapped(source: FileDataset, seen: Heatmap, folder: Path) -> FileDataset:
    reading = Reading(str(source.SOPInstanceUID), Outcome.POSITIVE, finding=Finding(1.0, 0.9, seen))
    return written(build_map(source, reading, context_for(source)), folder / "map.dcm")


@pytest.mark.parametrize("peak", [3.25, 1e-7, 0.0123456789012345, 98765.4321])
def test_the_raw_activation_comes_back(peak: float, tmp_path: Path) -> None:
    seen = heatmap(peak)
    source = sized(300, 240)

    made = mapped(source, seen, tmp_path)

    raw = apply_modality_lut(made.pixel_array, made)
    wanted = seen.resized(made.Rows, made.Columns).astype(np.float64) * peak
    assert np.abs(raw - wanted).max() <= 0.51 * peak / 65535
    assert repr(peak) in made.DerivationDescription
    assert "65535" in made.DerivationDescription


@pytest.mark.parametrize(
    ("shape", "grid"), [((3000, 2500), (512, 427)), ((250, 300), (427, 512)), ((64, 64), (512, 512))]
)
def test_the_map_has_the_image_s_own_aspect(shape: tuple[int, int], grid: tuple[int, int], tmp_path: Path) -> None:
    made = mapped(sized(*shape), heatmap(), tmp_path)

    assert made.pixel_array.shape == grid
    assert max(grid) == LONGEST_SIDE
    assert (made.BitsStored, made.PhotometricInterpretation, made.pixel_array.dtype) == (16, "MONOCHROME2", np.uint16)


def test_what_the_model_did_not_see_is_nothing_and_said(tmp_path: Path) -> None:
    ones = Heatmap(np.ones((7, 7), dtype=np.float32), 2.0, MapMethod.GRAD_CAM, Span(0.25, 0.0, 0.75, 1.0))

    made = mapped(sized(300, 300), ones, tmp_path)

    assert (made.pixel_array[128:384] == 65535).all()
    assert not made.pixel_array[:128].any()
    assert not made.pixel_array[384:].any()
    assert "rows 25.0% to 75.0%" in made.DerivationDescription
    assert "unseen" in made.DerivationDescription
    assert "unseen" not in mapped(sized(300, 300), heatmap(), tmp_path).DerivationDescription


def test_another_renderer_shows_its_strongest_place_brightest(tmp_path: Path) -> None:
    made = mapped(sized(300, 240), heatmap(), tmp_path)

    command = [program("dcm2pnm"), "--write-png", "--min-max-window", "map.dcm", "map.png"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=True)

    with Image.open(tmp_path / "map.png") as picture:
        shown = np.asarray(picture.convert("L"))
    assert shown.shape == made.pixel_array.shape
    assert shown[np.unravel_index(made.pixel_array.argmax(), shown.shape)] == shown.max() == 255
    assert shown[0, -1] == 0


def test_the_object_says_what_it_is_and_is_not(tmp_path: Path) -> None:
    source = make_cxr(InstanceNumber=7, LossyImageCompression="01")
    made = written(build_map(source, analysed(source), context_for(source)), tmp_path / "map.dcm")

    assert made.ImageType == ["DERIVED", "SECONDARY"]
    assert (made.Modality, made.SeriesNumber, made.InstanceNumber) == ("OT", 9005, 7)
    assert (made.BurnedInAnnotation, made.LossyImageCompression) == ("NO", "01")
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert made.ImageComments.startswith("AI RESULT - NOT FOR PRIMARY DIAGNOSIS. Not a radiograph")
    assert "probability 0.873" in made.ImageComments
    assert "Grad-CAM map of made-up 1" in made.DerivationDescription
    assert "12.3%" in build_map(source, astray(source), context_for(source)).ImageComments


def test_there_is_no_map_without_a_finding_or_of_an_empty_one() -> None:
    source = make_cxr()
    for reading in (unread(source, Outcome.REFUSED), analysed(source, peak=0.0)):
        with pytest.raises(ValueError, match="no map, or an empty one"):
            build_map(source, reading, context_for(source))


def test_the_same_map_gives_the_same_bytes_whatever_the_warnings(tmp_path: Path) -> None:
    source = make_cxr()
    reading = analysed(source)

    made = [build_map(source, one, context_for(source)) for one in (reading, replace(reading, warnings=("old",)))]

    assert made[0] == made[1]
    assert written(made[0], tmp_path / "a.dcm").PixelData == made[1].PixelData
