"""Regions: a known square is found again where it lies in the source, through every way into the network's input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cxrnode.finding import Heatmap, MapMethod, Region, Side, Span
from cxrnode.headers.orientation import sides
from cxrnode.regions import regions
from models.card import Input
from models.fit import fit_of
from models.preprocess import fitted
from tests.builders import make_cxr
from tests.trips import sent

SHAPE = (3000, 2500)
WAYS = ("squash", "letterbox", "crop")
SIZES = ((224, 224), (320, 256), (256, 320))
SQUARES = {  # top, left, bottom, right in the source's pixels; all in the part that every crop here sees
    "off the middle": (1100, 500, 1700, 1100),
    "large": (700, 400, 2300, 2100),
    "odd edges": (1237, 911, 1555, 1303),
}


def wanted(resize: str, size: tuple[int, int]) -> Input:
    return Input(rows=size[0], columns=size[1], resize=resize, scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)


def injected(square: tuple[int, int, int, int], shape: tuple[int, int], terms: Input) -> Heatmap:
    """A map that a network would have, had it seen just this square of an image of `shape`."""
    top, left, bottom, right = square
    film = np.zeros(shape, dtype=np.float32)
    film[top:bottom, left:right] = 1.0
    values = fitted(film, terms)[0].numpy().clip(0, 1)
    return fit_of(shape, terms).place(Heatmap(values, 4.0, MapMethod.GRAD_CAM))


def box(region: Region) -> tuple[float, float, float, float]:
    (left, top), (right, bottom) = region.outline.min(axis=0), region.outline.max(axis=0)
    return top, left, bottom, right


def bump(*, x: float, y: float, width: float = 0.08, grid: int = 64) -> NDArray[np.float32]:
    down, across = (np.mgrid[0:grid, 0:grid] + 0.5) / grid
    return np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * width**2)).astype(np.float32)


def mapped(values: NDArray[np.float32], peak: float = 1.0) -> Heatmap:
    return Heatmap(np.clip(values / values.max(), 0, 1).astype(np.float32), peak, MapMethod.GRAD_CAM)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize", WAYS)
@pytest.mark.parametrize("name", SQUARES)
def test_a_known_square_is_found_within_two_source_pixels(name: str, resize: str, size: tuple[int, int]) -> None:
    square = SQUARES[name]

    (region,) = regions(injected(square, SHAPE, wanted(resize, size)), *SHAPE, make_cxr())

    assert box(region) == pytest.approx(square, abs=2.0)
    x, y = region.outline.T
    area = abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2
    assert area == pytest.approx((square[2] - square[0]) * (square[3] - square[1]), rel=0.01)
    assert region.peak == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("resize", WAYS)
def test_a_square_at_the_edge_of_what_is_seen_reaches_that_edge(resize: str) -> None:
    """A letterboxed or squashed network sees the whole image; a square crop of 3000 x 2500 begins at row 250."""
    first = 250 if resize == "crop" else 0

    (region,) = regions(injected((0, 0, 1000, 800), SHAPE, wanted(resize, (224, 224))), *SHAPE, make_cxr())

    assert box(region) == pytest.approx((first, 0, 1000, 800), abs=2.0)
    assert region.outline.min() >= 0.0


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(400, 3000), st.integers(400, 3000)),
    size=st.tuples(st.integers(32, 320), st.integers(32, 320)),
    resize=st.sampled_from(WAYS),
)
def test_what_is_seen_and_where_it_lies_fit_one_another(
    shape: tuple[int, int], size: tuple[int, int], resize: str
) -> None:
    fit = fit_of(shape, wanted(resize, size))

    for part, frame in ((fit.seen, shape), (fit.laid, size)):
        assert 0 <= part.top < part.bottom <= frame[0]
        assert 0 <= part.left < part.right <= frame[1]
    if resize != "squash":  # both at one scale, up to the rounding to whole pixels
        down, across = (laid / seen for laid, seen in zip(fit.laid.size, fit.seen.size, strict=True))
        assert down == pytest.approx(across, rel=1.1 * max(0.5 / min(fit.laid.size), 0.5 / min(fit.seen.size)))


def test_what_lies_beside_a_letterboxed_image_is_no_part_of_the_map() -> None:
    fit = fit_of((3000, 1500), wanted("letterbox", (200, 200)))
    values = np.full((200, 200), 0.25, dtype=np.float32)
    values[:, :40] = 1.0  # on the air beside the image

    placed = fit.place(Heatmap(values, 8.0, MapMethod.GRAD_CAM))

    assert placed.values.shape == (200, 100)
    assert (placed.values == 1.0).all()
    assert placed.peak == 2.0


def test_a_map_of_a_cropped_image_is_nothing_where_the_network_saw_nothing() -> None:
    placed = fit_of((400, 200), wanted("crop", (100, 100))).place(
        Heatmap(np.ones((100, 100), dtype=np.float32), 1.0, MapMethod.GRAD_CAM)
    )

    assert placed.span == Span(0.25, 0.0, 0.75, 1.0)
    spread = placed.resized(40, 20)
    assert (spread[10:30] == 1.0).all()
    assert not spread[:10].any()
    assert not spread[30:].any()


def test_a_map_on_another_grid_than_the_input_s_is_refused() -> None:
    with pytest.raises(ValueError, match=r"map is \(7, 7\), wanted the input's grid \(100, 100\)"):
        fit_of((400, 200), wanted("crop", (100, 100))).place(mapped(np.ones((7, 7), np.float32)))


def test_each_connected_part_is_a_region_the_strongest_first_with_its_own_peak() -> None:
    values = np.maximum(0.8 * bump(x=0.25, y=0.5), bump(x=0.75, y=0.5))

    first, second = regions(mapped(values, peak=5.0), 1000, 1000, make_cxr())

    assert box(first)[1] > 500 > box(second)[3]
    assert first.peak == pytest.approx(5.0, rel=0.01)
    assert second.peak == pytest.approx(4.0, rel=0.02)


def test_a_speck_is_no_region_and_an_empty_map_has_none() -> None:
    speck = np.zeros((224, 224), dtype=np.float32)
    speck[100:105, 100:105] = 1.0

    assert regions(mapped(speck), 1000, 1000, make_cxr()) == ()
    assert regions(Heatmap(speck * 0, 0.0, MapMethod.GRAD_CAM), 1000, 1000, make_cxr()) == ()


def test_a_ring_is_outlined_on_its_outside() -> None:
    ring = np.zeros((100, 100), dtype=np.float32)
    ring[20:80, 20:80] = 1.0
    ring[40:60, 40:60] = 0.0

    (region,) = regions(mapped(ring), 1000, 1000, make_cxr())

    assert box(region) == pytest.approx((200, 200, 800, 800), abs=1.0)


def test_an_outline_is_closed() -> None:
    (region,) = regions(mapped(bump(x=0.5, y=0.5)), 800, 600, make_cxr())

    assert region.outline[0].tolist() == region.outline[-1].tolist()


def test_the_half_maximum_of_a_round_bump_is_a_circle_of_the_right_size() -> None:
    (region,) = regions(mapped(bump(x=0.5, y=0.5, width=0.1)), 1000, 1000, make_cxr())

    radius = np.hypot(*(region.outline - 500).T)

    assert radius == pytest.approx(100 * np.sqrt(2 * np.log(2)), rel=0.01)


@pytest.mark.parametrize(
    ("orientation", "left", "right"),
    [
        (["L", "F"], Side.RIGHT, Side.LEFT),  # the usual way: as if the patient faced the reader
        (["R", "F"], Side.LEFT, Side.RIGHT),  # mirrored
        (["LF", "FR"], Side.RIGHT, Side.LEFT),  # slightly turned: the main direction counts
        (["F", "R"], None, None),  # lying on its side: rows run from head to feet
        (["A", "F"], None, None),  # a lateral film
        (["L"], None, None),
        (["X", "F"], None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_a_side_comes_from_the_patient_s_orientation_alone(
    orientation: object, left: Side | None, right: Side | None
) -> None:
    source = sent(make_cxr(PatientOrientation=orientation, ImageLaterality=None))
    two = mapped(np.maximum(0.8 * bump(x=0.75, y=0.5), bump(x=0.25, y=0.5)))

    found = [region.side for region in regions(two, 1000, 1000, source)]

    assert found == [left, right]
    assert (sides(source) is None) == (left is None)


def test_a_region_on_both_sides_has_no_side() -> None:
    (region,) = regions(mapped(bump(x=0.55, y=0.5)), 1000, 1000, make_cxr())

    assert region.side is None


@pytest.mark.parametrize(("x", "side"), [(0.38, Side.RIGHT), (0.62, Side.LEFT), (0.44, None), (0.56, None)])
def test_nine_tenths_on_one_side_are_enough(x: float, side: Side | None) -> None:
    (region,) = regions(mapped(bump(x=x, y=0.5, width=0.1)), 1000, 1000, make_cxr())

    assert region.side is side


@pytest.mark.parametrize(
    ("outline", "message"),
    [(np.zeros((3, 2)), "4 or more"), (np.zeros((5, 3)), "4 or more"), (np.eye(6)[:, :2], "outline is open")],
)
def test_a_region_that_is_no_closed_outline_is_refused(outline: NDArray[np.float64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Region(outline, 1.0)


def test_an_outline_of_noise_still_fits_into_a_value() -> None:
    y, x = np.mgrid[0:224, 0:224]
    comb = np.where((x % 2 == 0) | (y < 4), 1.0, 0.0).astype(np.float32)  # teeth a pixel wide, on one back

    (region,) = regions(mapped(comb), 3000, 2500, make_cxr())

    assert 2000 < len(region.outline) <= 4001
    assert region.outline[0].tolist() == region.outline[-1].tolist()
    assert box(region) == pytest.approx((0, 0, 3000, 2500), abs=30)
