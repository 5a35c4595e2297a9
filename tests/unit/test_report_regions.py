"""The regions in a report: each comes back with its outline, side, peak and a tracking UID of its own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from highdicom.sr import srread
from highdicom.sr.templates import PlanarROIMeasurementsAndQualitativeEvaluations
from pydicom import Dataset

from cxrnode.finding import MapMethod, Reading, Side, Span
from cxrnode.results import codes
from cxrnode.results.readback import content_item, image_results, named
from cxrnode.results.report import build_report
from tests.builders import make_cxr
from tests.readings import analysed, astray, context_for, outlined, written

UPPER_RIGHT_OF_THE_PICTURE = (1.0, 5.0)


def films(count: int = 2, **attributes: object) -> list[Dataset]:
    """Films of one study."""
    return [make_cxr(StudyInstanceUID="1.2.3", InstanceNumber=number + 1, **attributes) for number in range(count)]


def reported(sources: list[Dataset], readings: list[Reading], folder: Path, *, round_number: int = 1) -> Dataset:
    context = context_for(sources[0], round_number=round_number)
    return written(build_report(sources, readings, context), folder / f"sr-{round_number}.dcm")


def tracking_uids(report: Dataset) -> list[str]:
    return [item.value for item in named(content_item(report), "Tracking Unique Identifier")]


def outlines(folder: Path) -> list[PlanarROIMeasurementsAndQualitativeEvaluations]:
    """The TID 1410 groups, as highdicom reads them."""
    content = srread(folder / "sr-1.dcm").content
    return list(content.get_planar_roi_measurement_groups())


def test_each_outline_side_and_peak_come_back_on_the_image_that_they_are_of(tmp_path: Path) -> None:
    sources = films()
    readings = [outlined(sources[0], UPPER_RIGHT_OF_THE_PICTURE), outlined(sources[1])]

    images = image_results(reported(sources, readings, tmp_path))

    assert [image.sop_instance_uid for image in images] == [source.SOPInstanceUID for source in sources]
    assert [len(image.regions) for image in images] == [2, 1]
    for image, reading in zip(images, readings, strict=True):
        for told, region in zip(image.regions, reading.regions, strict=True):
            np.testing.assert_allclose(told.outline, region.outline, atol=1e-3)
            assert np.array_equal(told.outline[0], told.outline[-1])
            assert (told.peak, told.side) == (region.peak, region.side)


def test_a_second_reader_finds_the_same_regions(tmp_path: Path) -> None:
    sources = films()
    readings = [outlined(sources[0], UPPER_RIGHT_OF_THE_PICTURE), analysed(sources[1], 0.1)]
    reported(sources, readings, tmp_path)

    found = outlines(tmp_path)

    assert len(found) == 2
    for group, region in zip(found, readings[0].regions, strict=True):
        np.testing.assert_allclose(group.roi.value, region.outline, atol=1e-3)
        assert group.roi.graphic_type.value == "POLYLINE"
        assert group.roi.ContentSequence[0].referenced_sop_instance_uid == sources[0].SOPInstanceUID
        assert group.finding_type == codes.PNEUMONIA
        (peak,) = group.get_measurements()
        assert (peak.name, peak.value, peak.unit) == (
            codes.GRADIENT_WEIGHTED_CLASS_ACTIVATION, region.peak, codes.NO_UNITS,
        )  # fmt: skip
        assert peak.derivation == codes.MAXIMUM


def test_the_groups_of_regions_follow_their_image_and_hold_no_probability(tmp_path: Path) -> None:
    sources = films()
    readings = [outlined(sources[0], UPPER_RIGHT_OF_THE_PICTURE), outlined(sources[1])]

    groups = list(named(content_item(reported(sources, readings, tmp_path)), "Measurement Group"))

    names = [next(named(group, "Tracking Identifier")).value for group in groups]
    assert names == [
        "Image 1, series 1, instance 1",
        "AI: pneumonia, region 1, right lung",
        "AI: pneumonia, region 2, left lung",
        "Image 2, series 1, instance 2",
        "AI: pneumonia, region 1, right lung",
    ]
    assert [len(list(named(group, "Probability"))) for group in groups] == [1, 0, 0, 1, 0]
    assert [[item.value for item in named(group, "Geometric purpose of region")] for group in groups] == [
        [], ["Outline"], ["Outline"], [], ["Outline"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("orientation", "side", "code"),
    [
        (["L", "F"], Side.RIGHT, codes.SIDES[Side.RIGHT]),
        (["R", "F"], Side.LEFT, codes.SIDES[Side.LEFT]),
        (None, None, None),
    ],
)
def test_the_side_is_a_laterality_and_where_nobody_knows_it_there_is_none(
    orientation: list[str] | None, side: Side | None, code: object, tmp_path: Path
) -> None:
    (source,) = films(1, PatientOrientation=orientation)

    (image,) = image_results(reported([source], [outlined(source)], tmp_path))

    assert image.regions[0].side is side
    (site,) = outlines(tmp_path)[0].finding_sites
    assert (site.value, site.laterality) == (codes.LUNG, code)


def test_beside_regions_the_image_itself_is_outlined_as_far_as_it_was_read(tmp_path: Path) -> None:
    """Else PixelMed would hold every group for a region's where a report has just one."""
    (source,) = films(1, Rows=200, Columns=100)
    reading = outlined(source)
    assert reading.finding is not None
    cropped = replace(reading.finding.heatmap, span=Span(0.25, 0.1, 0.75, 0.9))
    reading = replace(reading, finding=replace(reading.finding, heatmap=cropped))

    report = reported([source], [reading], tmp_path)

    (whole,) = srread(tmp_path / "sr-1.dcm").content.get_image_measurement_groups()
    (frame,) = [item for item in whole[0].ContentSequence if item.ValueType == "SCOORD"]
    np.testing.assert_allclose(frame.value, [(10, 50), (90, 50), (90, 150), (10, 150), (10, 50)], atol=1e-3)
    assert len(list(named(content_item(report), "Image Region"))) == 2
    assert len(image_results(report)[0].regions) == 1


def test_without_regions_nothing_is_outlined(tmp_path: Path) -> None:
    (source,) = films(1)

    for reading in (analysed(source, 0.1), astray(source)):
        report = reported([source], [reading], tmp_path)
        assert not list(named(content_item(report), "Image Region"))


def test_the_map_of_a_transformer_is_not_called_a_class_activation(tmp_path: Path) -> None:
    (source,) = films(1)
    reading = outlined(source)
    assert reading.finding is not None
    rollout = replace(reading.finding.heatmap, method=MapMethod.ATTENTION_ROLLOUT)
    reading = replace(reading, finding=replace(reading.finding, heatmap=rollout))

    (image,) = image_results(reported([source], [reading], tmp_path))

    assert [one.name for group in outlines(tmp_path) for one in group.get_measurements()] == [codes.SALIENCY]
    assert image.regions[0].peak == 3.25


def every_tracking_uid(folder: Path) -> Iterator[list[str]]:
    sources = films()
    readings = [outlined(source, UPPER_RIGHT_OF_THE_PICTURE) for source in sources]
    for round_number in (1, 2):
        yield tracking_uids(reported(sources, readings, folder, round_number=round_number))


def test_no_two_findings_share_a_tracking_uid_and_no_two_rounds_either(tmp_path: Path) -> None:
    first, second = every_tracking_uid(tmp_path)

    assert len(first) == len(second) == 6
    assert len({*first, *second}) == 12


def test_a_positive_says_how_many_regions_by_which_rule_and_what_the_probability_is_of(tmp_path: Path) -> None:
    sources = films(4)
    readings = [
        outlined(sources[0], UPPER_RIGHT_OF_THE_PICTURE),
        outlined(sources[1]),
        astray(sources[2]),
        analysed(sources[3], 0.1),
    ]

    images = image_results(reported(sources, readings, tmp_path))

    said = [[comment for comment in image.comments if "outlined" in comment] for image in images]
    rule = "where the heat map is at least half its maximum; the probability is of the whole image, not of a region."
    assert said == [
        [f"2 regions are outlined, {rule}"],
        [f"1 region is outlined, {rule}"],
        ["No region is outlined."],
        [],
    ]


def test_on_an_image_that_cannot_be_referred_to_nothing_is_outlined(tmp_path: Path) -> None:
    (source,) = films(1, SeriesInstanceUID=None)

    report = reported([source], [outlined(source)], tmp_path)

    (image,) = image_results(report)
    assert (image.sop_instance_uid, image.regions) == ("", ())
    assert not list(named(content_item(report), "Image Region"))
    assert "No region is outlined." in image.comments
