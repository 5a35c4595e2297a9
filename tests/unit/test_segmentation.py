"""The segmentation: each region's pixels exactly, under the name and UID that the report tracks it by."""

from pathlib import Path

import highdicom
import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset

from cxrnode.finding import Outcome, Reading, Region, Side
from cxrnode.regions import rasterised
from cxrnode.results.encode import encode
from cxrnode.results.segmentation import build_segmentation
from cxrnode.uids import Role
from tests.builders import make_cxr
from tests.readings import analysed, context_for, with_regions, written


def region(*points: tuple[float, float], side: Side | None = None) -> Region:
    return Region(np.array([*points, points[0]], dtype=np.float64), 1.0, side)


def read_with(source: FileDataset, *regions: Region) -> Reading:
    reading = analysed(source)
    return Reading(reading.sop_instance_uid, reading.outcome, "", reading.finding, (), regions)


def star(rows: int, columns: int, seed: int) -> Region:
    """A jagged outline around the middle."""
    generator = np.random.default_rng(seed)
    angles = np.sort(generator.uniform(0, 2 * np.pi, 40))
    reach = generator.uniform(0.2, 0.5, 40)[:, None]
    points = (0.5 + reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)) * (columns, rows)
    return region(*map(tuple, points))


def middles_inside(one: Region, rows: int, columns: int) -> NDArray[np.bool_]:
    """The same by matplotlib, point by point."""
    y, x = np.mgrid[0:rows, 0:columns] + 0.5
    inside = Polygon(one.outline).contains_points(np.stack([x.ravel(), y.ravel()], axis=1))
    return inside.reshape(rows, columns)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 20, 30, 50), (10, 20, 30, 50)),
        ((10.4, 20.4, 30.4, 50.4), (10, 20, 30, 50)),
        ((10.6, 20.6, 30.6, 50.6), (11, 21, 31, 51)),
        ((0, 0, 60, 80), (0, 0, 60, 80)),
        ((59.2, 79.2, 60, 80), (59, 79, 60, 80)),
        ((0.6, 0.6, 1.4, 1.4), (0, 0, 0, 0)),
    ],
)
def test_a_pixel_belongs_to_a_region_when_its_middle_does(box: tuple[float, ...], expected: tuple[int, ...]) -> None:
    left, top, right, bottom = box
    mask = rasterised(region((left, top), (right, top), (right, bottom), (left, bottom)).outline, 80, 60)

    wanted = np.zeros((80, 60), dtype=np.bool_)
    wanted[expected[1] : expected[3], expected[0] : expected[2]] = True
    assert np.array_equal(mask, wanted)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("backwards", [False, True])
def test_a_jagged_region_is_the_pixels_that_another_finds(seed: int, *, backwards: bool) -> None:
    one = star(97, 61, seed)
    turned = Region(one.outline[::-1].copy(), 1.0) if backwards else one

    assert np.array_equal(rasterised(turned.outline, 97, 61), middles_inside(one, 97, 61))


def test_another_library_reads_each_region_on_the_source_s_grid(tmp_path: Path) -> None:
    source = make_cxr()
    regions = (star(256, 240, 1), region((3, 4), (50, 4), (50, 77), (3, 77), side=Side.RIGHT))
    path = tmp_path / "seg.dcm"
    path.write_bytes(encode(build_segmentation(source, read_with(source, *regions), context_for(source))))

    segmentation = highdicom.seg.segread(path)
    masks = segmentation.get_pixels_by_source_instance([str(source.SOPInstanceUID)])

    assert masks.shape == (1, 256, 240, 2)
    for number, one in enumerate(regions):
        assert np.array_equal(masks[0, ..., number].astype(np.bool_), middles_inside(one, 256, 240))
    assert np.array_equal(dcmread(path).pixel_array, masks[0].transpose(2, 0, 1))
    first, second = (segmentation.get_segment_description(number) for number in (1, 2))
    assert first.segmented_property_type.value == "233604007"
    assert first.algorithm_type is highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC
    assert (first.algorithm_identification.name, first.algorithm_identification.version) == ("made-up", "1")
    assert second.anatomic_regions[0].value == "39607008"
    assert "AnatomicRegionModifierSequence" not in first.anatomic_regions[0]
    assert second.anatomic_regions[0].AnatomicRegionModifierSequence[0].CodeMeaning == "Right"


def test_a_segment_is_tracked_under_the_region_s_own_uid(tmp_path: Path) -> None:
    source = make_cxr()
    reading = read_with(source, star(256, 240, 1), star(256, 240, 2))
    context = context_for(source)

    made = written(build_segmentation(source, reading, context), tmp_path / "seg.dcm")

    wanted = [context.identity.uid(Role.TRACKING, f"{source.SOPInstanceUID} region {number}") for number in (1, 2)]
    assert [segment.TrackingUID for segment in made.SegmentSequence] == wanted
    assert [segment.TrackingID for segment in made.SegmentSequence] == [
        "AI: pneumonia, region 1",
        "AI: pneumonia, region 2",
    ]
    assert made.SegmentsOverlap == "YES"


def test_a_large_film_takes_one_bit_a_pixel(tmp_path: Path) -> None:
    source = make_cxr(np.arange(3000 * 2500, dtype=np.uint16).reshape(3000, 2500) % 4096)
    reading = with_regions(analysed(source), source)
    path = tmp_path / "seg.dcm"

    made = written(build_segmentation(source, reading, context_for(source)), path)

    assert (made.Rows, made.Columns, made.NumberOfFrames) == (3000, 2500, 1)
    assert path.stat().st_size < 3000 * 2500 / 8 + 8192
    x, y = reading.regions[0].outline.T
    area = abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2
    assert int(made.pixel_array.sum()) == pytest.approx(area, rel=1e-4)


def test_frames_whose_bits_end_within_a_byte_follow_without_a_gap(tmp_path: Path) -> None:
    source = make_cxr(np.arange(65 * 67, dtype=np.uint16).reshape(65, 67) % 4096)
    regions = tuple(star(65, 67, seed) for seed in range(3))

    made = written(build_segmentation(source, read_with(source, *regions), context_for(source)), tmp_path / "seg.dcm")

    assert np.array_equal(made.pixel_array, np.stack([middles_inside(one, 65, 67) for one in regions]))


def test_the_segmentation_names_its_film_and_lies_as_it_does(tmp_path: Path) -> None:
    source = make_cxr(LossyImageCompression="01", LossyImageCompressionRatio="10")

    made = written(
        build_segmentation(source, with_regions(analysed(source), source), context_for(source)), tmp_path / "seg.dcm"
    )

    (image,) = made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert image.SpatialLocationsPreserved == "YES"
    assert made.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
    assert made.PatientOrientation == source.PatientOrientation
    assert made.LossyImageCompression == "01"
    assert "FrameOfReferenceUID" not in made
    assert (made.Modality, made.SeriesNumber, made.SegmentationType) == ("SEG", 9004, "BINARY")
    assert made.SegmentsOverlap == "NO"


def test_without_an_orientation_the_attribute_is_there_and_empty(tmp_path: Path) -> None:
    source = make_cxr(PatientOrientation=None)

    made = written(
        build_segmentation(source, with_regions(analysed(source), source), context_for(source)), tmp_path / "seg.dcm"
    )

    assert made["PatientOrientation"].is_empty, "Type 2C (PS3.3 C.7.6.1)"


def test_there_is_nothing_to_segment_without_regions() -> None:
    source = make_cxr()

    with pytest.raises(ValueError, match="no regions"):
        build_segmentation(source, Reading("1.2", Outcome.REFUSED, "a foot"), context_for(source))
