"""A reader that is not ours sees a report's regions where they are, each by its name."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cxrnode.results.encode import encode
from tests.peers import program
from tests.studies import STUDIES, ReadStudy


@pytest.fixture
def study() -> ReadStudy:
    return STUDIES["regions in both lungs"]()


@pytest.fixture
def report(study: ReadStudy, tmp_path: Path) -> Path:
    path = tmp_path / "report.dcm"
    path.write_bytes(encode(study.made()[0].dataset))
    return path


def test_dcmtk_reads_the_outlines_as_they_were(study: ReadStudy, report: Path) -> None:
    """dsrdump prints a polyline as column/row, column/row."""
    command = [program("dsrdump"), "+Pl", report]
    said = subprocess.run(command, capture_output=True, text=True, check=True, errors="replace").stdout

    groups = re.findall(r'"Tracking Identifier"\)="AI: [^"]*".*?\(POLYLINE,([-0-9./,e]+)\)', said, re.DOTALL)

    expected = [region.outline for reading in study.readings for region in reading.regions]
    assert len(groups) == len(expected) == 3
    for points, outline in zip(groups, expected, strict=True):
        np.testing.assert_allclose([[float(x) for x in point.split("/")] for point in points.split(",")], outline, 1e-5)


def test_dcmtk_renders_each_region_for_a_reader(report: Path) -> None:
    page = report.with_suffix(".html")
    subprocess.run([program("dsr2html"), report, page], capture_output=True, check=True)

    text = re.sub(r"<[^>]*>|\s+", " ", page.read_text(encoding="latin-1"))

    for words in (
        "NOT FOR PRIMARY DIAGNOSIS",
        "POSITIVE for pneumonia: probability 0.",
        "region 1, right lung",
        "region 2, left lung",
        "region 1, left lung",
        "2 regions are outlined",
    ):
        assert words in text, words
