"""A viewer that is not ours shows the report's regions over the radiograph, where they are (IHE AIR Image Display).

dwv reads TID 1500 reports by itself. It is GPL-3.0: npm fetches it for this test alone, into pytest's cache, and
nothing of it is part of cxrnode.
"""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from cxrnode.conformance.specimens import bumps
from cxrnode.finding import Finding, Heatmap, MapMethod, Outcome, Reading, Span
from cxrnode.results.encode import encode
from cxrnode.results.report import build_report
from tests.browser.conftest import ARTEFACTS, HERE, driven
from tests.builders import chest_like, make_cxr
from tests.readings import context_for, with_regions

ROWS, COLUMNS = 960, 880


@dataclass(frozen=True)
class Seen:
    """What the viewer said, and the picture of it, (rows, columns, 3) uint8."""

    told: dict[str, Any]
    picture: NDArray[np.uint8]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder over HTTP on loopback while inside; its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def look(folder: Path, modules: Path, name: str) -> Seen:
    """The viewer on source.dcm and report.dcm in the folder; its picture is kept among the artefacts as `name`.png."""
    (folder / "modules").symlink_to(modules)
    shutil.copy(HERE / "viewer.html", folder)
    picture = ARTEFACTS / f"{name}.png"
    with served(folder) as address:
        told = driven(modules, "look.mjs", f"{address}/viewer.html", COLUMNS, ROWS, picture)
    with Image.open(picture) as image:
        return Seen(told, np.asarray(image.convert("RGB")))


def near(outlines: list[NDArray[np.float64]], width: int) -> NDArray[np.bool_]:
    """The pixels of the picture within half of `width`, which is odd, of an outline."""
    canvas = Image.new("L", (COLUMNS, ROWS))
    for outline in outlines:
        within = outline.clip(0, (COLUMNS - 1, ROWS - 1))
        ImageDraw.Draw(canvas).line([tuple(point) for point in within], fill=255)
    return np.asarray(canvas.filter(ImageFilter.MaxFilter(width))) > 0


@pytest.mark.parametrize(
    ("name", "span"),
    [("viewer-whole-image", Span()), ("viewer-map-of-a-crop", Span(top=0.1, left=0.05, bottom=0.9, right=0.95))],
)
def test_the_regions_lie_where_they_are_in_an_independent_viewer(
    name: str, span: Span, modules: Path, tmp_path: Path
) -> None:
    source = make_cxr(chest_like(ROWS, COLUMNS))
    heatmap = Heatmap(bumps((0.6, 0.3), (0.35, 0.72)), 3.25, MapMethod.GRAD_CAM, span)
    finding = Finding(1.5, 0.9, heatmap)
    positive = Reading(str(source.SOPInstanceUID), Outcome.POSITIVE, finding=finding)
    reading = with_regions(positive, source, (ROWS, COLUMNS))
    source.save_as(tmp_path / "source.dcm", enforce_file_format=True)
    (tmp_path / "report.dcm").write_bytes(encode(build_report([source], [reading], context_for(source))))

    seen = look(tmp_path, modules, name)

    assert seen.told.get("error") is None
    assert (seen.told["warnings"], seen.told["layers"]) == ([], 1)
    annotations = seen.told["annotations"]
    assert [one["name"] for one in annotations] == [
        "Image 1, series 1, instance 1",  # what the model read of it
        "AI: pneumonia, region 1, right lung",
        "AI: pneumonia, region 2, left lung",
    ]
    assert len({one["tracking_uid"] for one in annotations}) == len(annotations)
    assert {one["image"] for one in annotations} == {source.SOPInstanceUID}
    edges = np.array([[span.left, span.top], [span.right, span.bottom]]) * [COLUMNS, ROWS]
    expected = [edges, *(region.outline[:-1] for region in reading.regions)]
    for annotation, points in zip(annotations, expected, strict=True):
        assert np.abs(np.array(annotation["points"]) - points).max() < 1.0

    (left, top), (right, bottom) = edges
    box = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]])
    outlines = [region.outline for region in reading.regions]
    coloured = np.ptp(seen.picture.astype(int), axis=2) > 60
    assert not (coloured & ~near([box, *outlines], 9)).any(), "there is colour away from the outlines"
    assert coloured[near(outlines, 1)].mean() > 0.9, "an outline has no line on it"
