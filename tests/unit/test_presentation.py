"""The presentation state: the regions' very points, labels inside the image, and a film that looks as before."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from cxrnode.finding import Outcome, Reading, Region, Side
from cxrnode.results.presentation import build_presentation
from tests.builders import make_cxr
from tests.peers import program
from tests.readings import analysed, context_for, with_regions, written
from tests.trips import lut_item

ROWS, COLUMNS = 300, 240
LOOKS: dict[str, dict[str, object]] = {
    "a window": {"WindowCenter": "1500", "WindowWidth": "800"},
    "two windows": {"WindowCenter": ["1500", "3000"], "WindowWidth": ["800", "200"]},
    "no window": {"WindowCenter": None, "WindowWidth": None},
    "a rescale": {"RescaleSlope": "2", "RescaleIntercept": "-1024", "WindowCenter": "3000", "WindowWidth": "2000"},
    "inverted": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    "inverted, unsaid": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": None},
    "a VOI LUT": {"VOILUTSequence": [lut_item([value**2 // 4095 for value in range(4096)], 0, 12)]},
    "a VOI LUT of 8 bits": {"VOILUTSequence": [lut_item([value // 16 for value in range(4096)], 0, 8)]},
    "a modality LUT": {
        "RescaleSlope": None,
        "RescaleIntercept": None,
        "RescaleType": None,
        "ModalityLUTSequence": [lut_item(list(range(4095, -1, -1)), 0, 12, ModalityLUTType="US")],
    },
}


def boxed(left: float, top: float, right: float, bottom: float, side: Side | None = None) -> Region:
    outline = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    return Region(outline, 1.0, side)


def read_with(source: FileDataset, *regions: Region) -> Reading:
    reading = analysed(source)
    return Reading(reading.sop_instance_uid, reading.outcome, "", reading.finding, (), regions)


def state_of(source: FileDataset, reading: Reading, folder: Path) -> FileDataset:
    return written(build_presentation(source, reading, context_for(source)), folder / "state.dcm")


def test_the_outlines_come_back_point_by_point_in_one_layer(tmp_path: Path) -> None:
    source = make_cxr()
    reading = with_regions(analysed(source), source)
    reading = read_with(source, *reading.regions, boxed(0, 0, 240, 256), boxed(10.25, 20.5, 31.75, 40))

    state = state_of(source, reading, tmp_path)

    annotations = [one for one in state.GraphicAnnotationSequence if "GraphicObjectSequence" in one]
    assert len(annotations) == len(reading.regions)
    for region, annotation in zip(reading.regions, annotations, strict=True):
        (line,) = annotation.GraphicObjectSequence
        assert np.array_equal(np.reshape(line.GraphicData, (-1, 2)), region.outline.astype(np.float32))
        assert (line.GraphicType, line.GraphicAnnotationUnits, line.GraphicFilled) == ("POLYLINE", "PIXEL", "N")
        assert line.NumberOfGraphicPoints == len(region.outline)
    assert {one.GraphicLayer for one in state.GraphicAnnotationSequence} == {state.GraphicLayerSequence[0].GraphicLayer}


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 20, 20),
        (COLUMNS - 20, 0, COLUMNS, 20),
        (0, ROWS - 20, 20, ROWS),
        (COLUMNS - 20, ROWS - 20, COLUMNS, ROWS),
        (COLUMNS - 9, ROWS - 2, COLUMNS, ROWS),
        (100, 150, 120, 170),
        (0, 0, COLUMNS, ROWS),
    ],
)
@pytest.mark.parametrize("side", [Side.LEFT, Side.RIGHT, None])
def test_every_region_has_a_label_of_its_own_inside_the_image(
    box: tuple[int, int, int, int], side: Side | None, tmp_path: Path
) -> None:
    source = make_cxr(np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS) % 4096)

    state = state_of(source, read_with(source, boxed(*box, side)), tmp_path)

    label, notice = (annotation.TextObjectSequence[0] for annotation in state.GraphicAnnotationSequence)
    assert label.UnformattedTextValue == "AI: pneumonia, region 1" + (f", {side} lung" if side else "")
    for text in (label, notice):
        (x0, y0), (x1, y1) = text.BoundingBoxTopLeftHandCorner, text.BoundingBoxBottomRightHandCorner
        assert 0 <= x0 < x1 <= COLUMNS
        assert 0 <= y0 < y1 <= ROWS
    assert label.BoundingBoxBottomRightHandCorner[1] <= notice.BoundingBoxTopLeftHandCorner[1], "words over words"


def test_the_labels_of_two_regions_are_numbered_as_the_report_numbers_them(tmp_path: Path) -> None:
    source = make_cxr()

    state = state_of(source, read_with(source, boxed(1, 1, 9, 9, Side.RIGHT), boxed(20, 1, 29, 9)), tmp_path)

    words = [one.TextObjectSequence[0].UnformattedTextValue for one in state.GraphicAnnotationSequence]
    assert words[:2] == ["AI: pneumonia, region 1, right lung", "AI: pneumonia, region 2"]
    assert words[2].startswith("AI RESULT - NOT FOR PRIMARY DIAGNOSIS")
    assert "probability 0.873" in words[2]


@pytest.mark.parametrize("look", LOOKS)
def test_another_renderer_shows_the_film_with_the_state_as_it_does_without(look: str, tmp_path: Path) -> None:
    source = make_cxr(**LOOKS[look])
    source.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    state_of(source, with_regions(analysed(source), source), tmp_path)

    plain, presented = (rendered(tmp_path, *options) for options in ((), ("--pstate", str(tmp_path / "state.dcm"))))

    assert len(plain) > 256 * 240
    assert presented == plain


def rendered(folder: Path, *options: str) -> bytes:
    """The film as DCMTK shows it, a PGM."""
    command = [program("dcmp2pgm"), *options, "film.dcm", "film.pgm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    return (folder / "film.pgm").read_bytes()


def test_dcmtk_finds_nothing_wrong_with_the_state(tmp_path: Path) -> None:
    source = make_cxr(TimezoneOffsetFromUTC="+0100")
    state_of(source, with_regions(analysed(source), source), tmp_path)

    command = [program("dcmpschk"), tmp_path / "state.dcm"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    errors = [line for line in done.stderr.splitlines() if line.startswith("E: ") and line.strip() != "E:"]
    assert errors in ([], DT_IN_UTC), "DCMTK 3.6.7 knows no DT with the offset +0000, which PS3.5 6.2 allows"


DT_IN_UTC = [
    "E: Error: Attribute value does not conform to data type definition.",
    "E:    Affected attribute: ContributionDateTime (0018,a002), Type DT",
    "E:    Attribute value   : [20260102232030.123456+0000]",
    r"E:    Expected format for each value: [0-9]{8}[0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,6})?)?)?([\+\-][0-9]{4})?",
]


def test_a_lut_has_the_bits_that_a_presentation_state_may_have(tmp_path: Path) -> None:
    source = make_cxr(VOILUTSequence=[lut_item([0, 4095], -5 % 2**16, 12)], WindowCenter=None, WindowWidth=None)

    state = state_of(source, with_regions(analysed(source), source), tmp_path)

    (lut,) = state.SoftcopyVOILUTSequence[0].VOILUTSequence
    assert lut.LUTDescriptor == [2, -5 % 2**16, 16]
    assert np.frombuffer(lut.LUTData, dtype="<u2").tolist() == [0, 65535]


def test_shutter_function_and_spacing_are_the_source_s(tmp_path: Path) -> None:
    source = make_cxr(
        VOILUTFunction="SIGMOID",
        PixelSpacing=["0.2", "0.4"],
        ShutterShape=["RECTANGULAR", "CIRCULAR"],
        ShutterLeftVerticalEdge=30,
        ShutterRightVerticalEdge=200,
        ShutterUpperHorizontalEdge=20,
        ShutterLowerHorizontalEdge=220,
    )

    state = state_of(source, with_regions(analysed(source), source), tmp_path)

    assert state.SoftcopyVOILUTSequence[0].VOILUTFunction == "SIGMOID"
    assert state.DisplayedAreaSelectionSequence[0].PresentationPixelSpacing == [0.2, 0.4]
    assert state.ShutterShape == "RECTANGULAR", "a circle without its middle is no shutter"
    assert (state.ShutterLeftVerticalEdge, state.ShutterPresentationValue) == (30, 0)


def test_the_state_names_the_film_and_shows_all_of_it(tmp_path: Path) -> None:
    source = make_cxr(ImagerPixelSpacing=None)

    state = state_of(source, with_regions(analysed(source), source), tmp_path)

    (area,) = state.DisplayedAreaSelectionSequence
    assert area.DisplayedAreaTopLeftHandCorner == [1, 1]
    assert area.DisplayedAreaBottomRightHandCorner == [source.Columns, source.Rows]
    assert (area.PresentationSizeMode, area.PresentationPixelAspectRatio) == ("SCALE TO FIT", [1, 1])
    (series,) = state.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert series.ReferencedImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert (state.Modality, state.SeriesNumber) == ("PR", 9003)
    assert (state.PresentationCreationDate, state.PresentationCreationTime) == ("20260102", "232030.123456")


def test_there_is_nothing_to_present_without_regions() -> None:
    source = make_cxr()

    with pytest.raises(ValueError, match="no regions"):
        build_presentation(source, Reading("1.2", Outcome.REFUSED, "a foot"), context_for(source))
