"""The overlay: heat no further than the probability, greys untouched elsewhere, words outside the picture."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from cxrnode.finding import Outcome, Reading, Region, Side
from cxrnode.results.banner import MARGIN, PAPER, banner_for
from cxrnode.results.encode import encode
from cxrnode.results.heat import FLOOR, colours, opacity, paint
from cxrnode.results.outline import lines, trace
from cxrnode.results.overlay import Frame, build_overlay, draw, frame_for
from cxrnode.results.pen import NOMINAL
from cxrnode.results.tracking import COLOUR
from cxrnode.settings.language import Words, load_words
from tests.builders import make_cxr
from tests.fakes import ALGORITHM
from tests.readings import analysed, astray, context_for, heatmap, radiograph_of, unread, with_regions, written

SOURCE = make_cxr(InstanceNumber=7)
ENGLISH = load_words("en")


def drawn(
    reading: Reading, shape: tuple[int, int] = (300, 280), side: int = 1280, words: Words = ENGLISH
) -> tuple[NDArray[np.uint8], Frame]:
    picture = draw(radiograph_of(*shape), reading, ALGORITHM, side, words=words)
    return picture, frame_for(shape, banner_for(reading, ALGORITHM, words), side)


def inside(picture: NDArray[np.uint8], frame: Frame) -> NDArray[np.int16]:
    rows, columns = slice(frame.top, frame.top + frame.rows), slice(frame.left, frame.left + frame.columns)
    return picture[rows, columns].astype(np.int16)


def colourfulness(picture: NDArray[np.int16]) -> NDArray[np.int16]:
    return np.ptp(picture, axis=-1)


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.4999999])
def test_under_the_operating_point_the_picture_is_grey_all_over(probability: float) -> None:
    picture, frame = drawn(analysed(SOURCE, probability))

    assert not colourfulness(inside(picture, frame)).any()


def test_a_large_film_looks_as_if_it_had_been_resampled_at_once() -> None:
    """It is halved first; red (a mean of 6 levels) when it is halved by leaving out every second pixel."""
    film = radiograph_of(2500, 2048) + np.random.default_rng(1).normal(0, 0.05, (2500, 2048)).astype(np.float32)
    picture = draw(film, analysed(SOURCE, 0.1), ALGORITHM, 1280, words=ENGLISH)
    frame = frame_for(film.shape, banner_for(analysed(SOURCE, 0.1), ALGORITHM, ENGLISH), 1280)
    at_once = Image.fromarray(film).resize((frame.columns, frame.rows), Image.Resampling.BICUBIC)

    off = np.abs(inside(picture, frame)[..., 0] - np.asarray(at_once) * 255)
    assert off.mean() < 2


def test_heat_grows_with_the_probability() -> None:
    pictures = [inside(*drawn(analysed(SOURCE, probability))) for probability in (0.5, 0.7, 0.9, 1.0)]

    heat = [float(colourfulness(picture).mean()) for picture in pictures]
    assert heat == sorted(heat)
    assert 0 < heat[0] < heat[-1] / 1.5


def test_outside_heat_lines_and_numbers_every_grey_is_the_radiograph_s_own() -> None:
    shape = (300, 280)
    positive, frame = drawn(with_regions(analysed(SOURCE, 0.95), SOURCE, shape), shape)
    negative, other = drawn(analysed(SOURCE, 0.05), shape)
    assert frame == other

    size = (frame.columns, frame.rows)
    strokes = Image.new("RGB", size, (1, 2, 3))
    trace(strokes, with_regions(analysed(SOURCE), SOURCE, shape).regions, shape)
    heat = heatmap().resized(frame.rows, frame.columns) > FLOOR
    outside = ~heat & (np.asarray(strokes) == (1, 2, 3)).all(axis=-1)
    assert 0.3 < outside.mean() < 0.95
    assert np.array_equal(inside(positive, frame)[outside], inside(negative, frame)[outside])
    assert (inside(positive, frame)[~outside] != inside(negative, frame)[~outside]).any()
    greys = Image.fromarray(radiograph_of(*shape)).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    eight_bits = np.rint(np.clip(np.asarray(greys), 0, 1) * 255)
    assert np.array_equal(inside(positive, frame)[outside], np.stack([eight_bits] * 3, axis=-1)[outside])


def test_an_empty_map_draws_nothing() -> None:
    picture, frame = drawn(analysed(SOURCE, 0.95, peak=0.0))

    assert not colourfulness(inside(picture, frame)).any()


def test_a_region_s_outline_stands_where_the_region_says_at_any_size() -> None:
    square = np.array([(60, 90), (180, 90), (180, 210), (60, 210), (60, 90)], dtype=np.float64)
    for scale in (0.5, 1.0, 4.0):
        picture = Image.new("RGB", (round(280 * scale), round(300 * scale)), (128, 128, 128))
        trace(picture, [Region(square, 1.0)], (300, 280))

        line = (np.asarray(picture) == COLOUR).all(axis=-1)
        rows, columns = np.flatnonzero(line[:, round(120 * scale)]), np.flatnonzero(line[round(150 * scale)])
        low, high = np.array([columns.min(), rows.max()]), np.array([columns.max(), rows.max()])
        assert low == pytest.approx(np.array([60, 210]) * scale, abs=3)
        assert high == pytest.approx(np.array([180, 210]) * scale, abs=3)


def test_a_line_covers_as_much_of_a_pixel_as_lies_under_it() -> None:
    level = np.array([(0, 10), (40, 10), (0, 10)], dtype=np.float64)

    narrow, wide = (covered[:, 20] / 255 for covered in lines((40, 20), [level], 2.0, 4.0))

    assert narrow[8:12].tolist() == pytest.approx([0, 1, 1, 0], abs=0.3)
    assert narrow.sum() == pytest.approx(2.0, abs=0.3)
    assert wide.sum() == pytest.approx(4.0, abs=0.3)


@pytest.mark.parametrize(("side", "letter"), [(None, ""), (Side.LEFT, "L"), (Side.RIGHT, "R")])
def test_regions_are_numbered_as_in_the_report_and_have_a_side_only_where_it_is_known(
    side: Side | None, letter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_words: list[str] = []
    text = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda *given, **more: (written_words.append(given[2]), text(*given, **more))
    )
    square = np.array([(60, 90), (180, 90), (180, 210), (60, 210), (60, 90)], dtype=np.float64)

    picture = Image.new("RGB", (280, 300))
    trace(picture, [Region(square, 2.0, side), Region(square / 2, 1.0)], (300, 280))

    assert (np.asarray(picture)[70:84, 60:180] == COLOUR).all(axis=-1).any(), "in the outline's colour, above it"
    assert written_words == [f"1 {letter}".strip(), "2"]


@pytest.mark.parametrize("corner", [(0, 0), (260, 0), (0, 280), (260, 280)])
def test_a_number_stays_on_the_picture(corner: tuple[int, int]) -> None:
    x, y = corner
    square = np.array([(x, y), (x + 20, y), (x + 20, y + 20), (x, y + 20), (x, y)], dtype=np.float64)
    bare, numbered = Image.new("RGB", (280, 300), (128, 128, 128)), Image.new("RGB", (400, 420), (128, 128, 128))
    trace(bare, [Region(square, 1.0, Side.LEFT)], (300, 280))
    centred = square + 60
    trace(numbered, [Region(centred, 1.0, Side.LEFT)], (420, 400))

    cyan = [(np.asarray(picture) == COLOUR).all(axis=-1).sum() for picture in (bare, numbered)]
    assert cyan[0] > 0.5 * cyan[1]


@pytest.mark.parametrize("point", [0.0, 0.42, 1.0])
def test_opacity_is_least_at_the_operating_point_and_most_at_certainty(point: float) -> None:
    assert opacity(1.0, point) == max(opacity(p, point) for p in np.linspace(0, 1, 50))
    assert opacity(point, point) > 0
    assert point == 0.0 or opacity(point - 1e-9, point) == 0.0


def test_no_strength_means_the_greys_themselves() -> None:
    greys = (radiograph_of(40, 50) * 255).astype(np.uint8)

    assert np.array_equal(np.asarray(paint(greys, heatmap().resized(40, 50), 0.0)), np.stack([greys] * 3, axis=-1))


def test_heat_is_laid_over_the_greys_as_pillow_would_lay_it() -> None:
    """Within a level, for the two shares of a pixel are rounded each; red when one is left out, or laid elsewhere."""
    greys = (radiograph_of(200, 160) * 255).astype(np.uint8)
    values = heatmap().resized(200, 160)
    levels = np.rint(values * 255) / 255
    share = np.rint(255 * 0.4 * np.clip((levels - FLOOR) / (0.5 - FLOOR), 0.0, 1.0)) / 255

    painted = np.asarray(paint(greys, values, 0.4)).astype(np.float64)

    expected = greys[..., None] * (1 - share[..., None]) + colours(levels) * share[..., None]
    assert 0.1 < (share > 0).mean() < 0.9
    assert np.abs(painted - expected).max() <= 1.01


@pytest.mark.parametrize("shape", [(2048, 2500), (2500, 2048), (3000, 300), (300, 3000), (64, 64), (1, 1)])
@pytest.mark.parametrize("side", [256, 1280])
def test_the_whole_overlay_fits_the_longest_side_and_keeps_the_picture_in_shape(
    shape: tuple[int, int], side: int
) -> None:
    picture, frame = drawn(analysed(SOURCE, 0.95, warnings=("The patient is 62 years old.",)), shape, side)

    assert max(picture.shape) <= side
    assert picture.shape[:2] == (frame.canvas[1], frame.canvas[0])
    assert frame.columns == pytest.approx(frame.rows * shape[1] / shape[0], abs=1 + shape[1] / shape[0])


def test_a_radiograph_larger_than_the_overlay_is_not_enlarged_and_a_small_one_only_until_it_can_be_read() -> None:
    _, small = drawn(analysed(SOURCE), (224, 224))
    _, medium = drawn(analysed(SOURCE), (1024, 1024))

    assert 600 <= max(small.canvas) <= 640
    assert medium.rows <= 1024


@pytest.mark.parametrize("probability", [0.9, 0.1, 1.0, 0.499999999, 1e-9])
def test_nothing_written_runs_over_the_edge(probability: float) -> None:
    warnings = ("The patient's age is not given, and the sentence that says so is longer than one line can be.",) * 3
    picture, frame = drawn(analysed(SOURCE, probability, warnings))

    edge = round(MARGIN / 3 * frame.canvas[0] / NOMINAL)
    notice = round(62 * frame.canvas[0] / NOMINAL) + 4
    assert (picture[: frame.top, -edge:] == PAPER).all()
    assert (picture[frame.top + frame.rows : -notice, -edge:] == PAPER).all()
    assert (picture[-notice // 2, -edge:] == picture[-notice // 2, -1]).all()


def test_warnings_that_do_not_fit_are_announced() -> None:
    banner = banner_for(analysed(SOURCE, warnings=tuple(f"Warning number {n}." for n in range(9))), ALGORITHM, ENGLISH)

    words = [line for line, _ in banner.lines]
    assert "Warning: there are more; see the report." in words
    assert "made-up 1; trained on ages 1 to 5 years. The" in " ".join(words)
    assert "74.0%" in " ".join(words)


def test_positive_and_negative_differ_in_word_and_form_even_as_a_thumbnail() -> None:
    thumbnails = []
    for probability in (0.9, 0.1):
        image = Image.fromarray(drawn(analysed(SOURCE, probability))[0]).convert("L")
        image.thumbnail((128, 128))
        thumbnails.append(np.asarray(image, dtype=np.int16))

    box = (slice(4, 9), slice(4, 40))
    assert np.abs(thumbnails[0][box] - thumbnails[1][box]).mean() > 60


def test_the_object_says_what_it_is_and_where_it_comes_from(tmp_path: Path) -> None:
    source = make_cxr(InstanceNumber=7, BodyPartExamined="THORAX", LossyImageCompression="01")
    reading = analysed(source, 0.9)

    overlay = written(build_overlay(source, radiograph_of(), reading, context_for(source)), tmp_path / "sc.dcm")

    assert overlay.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert overlay.file_meta.ImplementationVersionName.startswith("CXRNODE_")
    assert (overlay.PhotometricInterpretation, overlay.BurnedInAnnotation) == ("RGB", "YES")
    assert overlay.ImageType == ["DERIVED", "SECONDARY"]
    assert overlay.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert "probability 0.900" in overlay.DerivationDescription
    assert (overlay.InstanceNumber, overlay.BodyPartExamined) == (7, "THORAX")
    assert overlay.LossyImageCompression == "01"
    assert (overlay.PatientName, overlay.StudyInstanceUID) == (source.PatientName, source.StudyInstanceUID)
    assert np.array_equal(overlay.pixel_array, drawn(reading)[0])


def test_the_same_inputs_give_the_same_bytes() -> None:
    content = encode(make_cxr())
    sources = [dcmread(io.BytesIO(content)) for _ in range(2)]

    first, second = (
        encode(build_overlay(source, radiograph_of(), analysed(source), context_for(source))) for source in sources
    )

    assert first == second


def test_two_images_of_a_study_share_a_series_and_no_instance_uid() -> None:
    sources = [make_cxr(StudyInstanceUID="1.2.3") for _ in range(2)]

    overlays = [build_overlay(one, radiograph_of(), analysed(one), context_for(one)) for one in sources]

    assert overlays[0].SeriesInstanceUID == overlays[1].SeriesInstanceUID
    assert overlays[0].SOPInstanceUID != overlays[1].SOPInstanceUID


def test_there_is_nothing_to_draw_without_a_finding() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        draw(radiograph_of(), unread(SOURCE, Outcome.REFUSED), ALGORITHM, 1280, words=ENGLISH)


def test_a_map_that_points_outside_the_lungs_is_not_drawn_but_said() -> None:
    reading = astray(SOURCE)
    plain = draw(radiograph_of(), reading, ALGORITHM, 1280, words=ENGLISH)
    frame = frame_for(radiograph_of().shape, banner_for(reading, ALGORITHM, ENGLISH, shown=False), 1280)

    assert not colourfulness(inside(plain, frame)).any()
    assert colourfulness(inside(*drawn(astray(SOURCE, 0.8, localised=True)))).any()
    assert "12.3%" in reading.reason
    legend = plain[frame.top + frame.rows :].astype(np.int16)
    assert (np.abs(legend - np.array((255, 176, 0))).max(axis=-1) < 8).any(), "the sentence stands out"
    overlay = build_overlay(SOURCE, radiograph_of(), reading, context_for(SOURCE))
    assert "without its map" in overlay.DerivationDescription
    assert "12.3%" in overlay.ImageComments


def test_a_site_that_wants_it_gets_the_heat_all_the_same() -> None:
    reading = astray(SOURCE)
    context = replace(context_for(SOURCE), draw_not_localised=True)

    picture = draw(radiograph_of(), reading, ALGORITHM, 1280, words=ENGLISH, draw_not_localised=True)

    frame = frame_for(radiograph_of().shape, banner_for(reading, ALGORITHM, ENGLISH), 1280)
    assert colourfulness(inside(picture, frame)).any()
    assert "without its map" not in build_overlay(SOURCE, radiograph_of(), reading, context).DerivationDescription
