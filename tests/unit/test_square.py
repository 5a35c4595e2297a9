"""The square: a known place in a 3000 x 2500 film is where report, presentation state and segmentation say it is."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from cxrnode.analyse import analyse
from cxrnode.commands.offline import group
from cxrnode.family import Family
from cxrnode.finding import Algorithm, Finding, Heatmap, MapMethod
from cxrnode.radiograph import Radiograph
from cxrnode.settings import Settings
from models.card import Input
from models.fit import fit_of
from models.preprocess import fitted
from tests.builders import make_cxr
from tests.fakes import ALGORITHM
from tests.nodes import saved

ROWS, COLUMNS = 3000, 2500
TOP, LEFT, BOTTOM, RIGHT = 1237, 311, 1801, 903
DARK, BRIGHT = 500, 3500


class Looker:
    """A model whose map is what it is fed: it looks wherever the film is bright."""

    algorithm: Algorithm = ALGORITHM

    def __init__(self, resize: str) -> None:
        self.terms = Input(rows=224, columns=224, resize=resize, scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)

    def read(self, radiographs: Sequence[Radiograph]) -> list[Finding]:
        """One finding a radiograph, its map placed as a real reader places its own."""
        return [Finding(1.0, 0.9, self._map(radiograph)) for radiograph in radiographs]

    def _map(self, radiograph: Radiograph) -> Heatmap:
        bright = (radiograph.greys - radiograph.greys.min()) / np.ptp(radiograph.greys)
        values = fitted(replace(radiograph, greys=bright.astype(np.float32)), self.terms)[0].numpy().clip(0, 1)
        return fit_of((ROWS, COLUMNS), self.terms).place(Heatmap(values, 4.0, MapMethod.GRAD_CAM))


@pytest.fixture(scope="module", params=["squash", "letterbox", "crop"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[Family, Dataset]:
    """What is made of a film with one bright square, by family, after a trip through bytes."""
    pixels = np.full((ROWS, COLUMNS), DARK, dtype=np.uint16)
    pixels[TOP:BOTTOM, LEFT:RIGHT] = BRIGHT
    film: Path = saved(make_cxr(pixels), tmp_path_factory.mktemp("square") / "film.dcm")
    (analysis,) = analyse(group([film]), Looker(request.param), Settings(), datetime(2026, 1, 2, tzinfo=UTC))
    return {item.family: pydicom.dcmread(BytesIO(item.content)) for item in analysis.objects}


def around(points: NDArray[np.float64]) -> list[float]:
    """top, left, bottom, right of (n, 2) columns and rows."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return [top, left, bottom, right]


def within(item: Dataset) -> Iterator[Dataset]:
    """Every content item of a report, and the report itself."""
    yield item
    for child in item.get("ContentSequence", []):
        yield from within(child)


def outlines(report: Dataset) -> list[NDArray[np.float64]]:
    """The coordinates of every group that says what its region is for (130400, DCM)."""
    groups = [
        item
        for item in within(report)
        if any(one.ConceptNameCodeSequence[0].CodeValue == "130400" for one in item.get("ContentSequence", []))
    ]
    coordinates = [one for group in groups for one in within(group) if one.get("ValueType") == "SCOORD"]
    return [np.array(one.GraphicData, dtype=np.float64).reshape(-1, 2) for one in coordinates]


def test_the_report_outlines_the_square_within_two_pixels(results: dict[Family, Dataset]) -> None:
    (points,) = outlines(results[Family.REPORT])

    assert around(points) == pytest.approx([TOP, LEFT, BOTTOM, RIGHT], abs=2.0)


def test_the_presentation_state_outlines_the_square_within_two_pixels(results: dict[Family, Dataset]) -> None:
    (graphic,) = (
        one
        for annotation in results[Family.PRESENTATION].GraphicAnnotationSequence
        for one in annotation.get("GraphicObjectSequence", [])
    )

    points = np.array(graphic.GraphicData, dtype=np.float64).reshape(-1, 2)

    assert around(points) == pytest.approx([TOP, LEFT, BOTTOM, RIGHT], abs=2.0)


def test_the_segmentation_fills_the_square_within_two_pixels(results: dict[Family, Dataset]) -> None:
    mask = results[Family.SEGMENTATION].pixel_array.reshape(ROWS, COLUMNS)

    rows, columns = np.nonzero(mask)

    found = [int(one) for one in (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)]
    assert found == pytest.approx([TOP, LEFT, BOTTOM, RIGHT], abs=2.0)
    assert int(mask.sum()) == pytest.approx((BOTTOM - TOP) * (RIGHT - LEFT), rel=0.01)


def test_the_map_is_brightest_in_the_square(results: dict[Family, Dataset]) -> None:
    values = results[Family.MAP].pixel_array.astype(np.float64)
    scale = values.shape[0] / ROWS

    top, left, bottom, right = (round(edge * scale) for edge in (TOP, LEFT, BOTTOM, RIGHT))
    inside = values[top + 3 : bottom - 3, left + 3 : right - 3]

    assert inside.min() > 0.95 * values.max()
    assert values.sum() == pytest.approx(values.max() * (BOTTOM - TOP) * (RIGHT - LEFT) * scale**2, rel=0.03)
