"""Pages and pictures: everything a report says can be read, nothing in it can run, nothing is fetched."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

from cxrnode.family import Family
from cxrnode.finding import Outcome
from cxrnode.render import Exhibit, Shown, as_png, gallery_html, overlay_png, preview, report_html
from cxrnode.results.overlay import build_overlay
from cxrnode.results.report import build_report
from tests.builders import make_cxr
from tests.readings import analysed, context_for, outlined, radiograph_of, unread, written

NASTY = "<script>alert('x')</script>"


def test_a_report_page_says_the_outcome_the_probability_the_model_and_the_warnings(tmp_path: Path) -> None:
    sources = [make_cxr(StudyInstanceUID="1.2.3", PatientName="Yamada^Tarou=山田^太郎") for _ in range(2)]
    readings = [analysed(sources[0], 0.87654, warnings=("Age unknown.",)), unread(sources[1], Outcome.REFUSED)]
    report = written(build_report(sources, readings, context_for(sources[0])), tmp_path / "sr.dcm")

    page = report_html(report)

    for words in ("POSITIVE", "0.8765", "REFUSED", "ViewPosition", "Age unknown.", "山田^太郎", "made-up 1"):
        assert words in page, words
    for words in ("NOT FOR PRIMARY DIAGNOSIS", "operating point = 0.5", "2026-01-02", "Gradient-weighted class"):
        assert words in page, words


def test_a_report_page_names_each_region_by_side_peak_and_place(tmp_path: Path) -> None:
    told, untold = make_cxr(StudyInstanceUID="1.2.3"), make_cxr(StudyInstanceUID="1.2.3", PatientOrientation=None)
    readings = [outlined(told, (1.0, 5.0)), outlined(untold)]
    report = written(build_report([told, untold], readings, context_for(told)), tmp_path / "sr.dcm")

    page = report_html(report)

    first, second = readings[0].regions
    (left, top), (right, bottom) = first.outline.min(axis=0), first.outline.max(axis=0)
    place = f"columns {left:.0f} to {right:.0f}, rows {top:.0f} to {bottom:.0f}"
    assert f"Region 1: right lung, peak 3.25, {place}" in page
    assert f"Region 2: left lung, peak {second.peak:.4g}" in page
    assert f"Region 1: peak 3.25, {place}" in page


def test_nothing_of_a_data_set_becomes_markup(tmp_path: Path) -> None:
    source = make_cxr(PatientName=NASTY, StudyDescription=NASTY)
    report = written(
        build_report([source], [unread(source, Outcome.FAILED, NASTY)], context_for(source)), tmp_path / "sr.dcm"
    )

    pages = report_html(report), gallery_html([study(name=NASTY, reason=NASTY, outcome=NASTY)], NASTY, NASTY)

    for page in pages:
        assert "<script" not in page
        assert "&lt;script&gt;" in page


def test_the_pages_fetch_nothing_and_are_well_formed(tmp_path: Path) -> None:
    source = make_cxr()
    report = written(build_report([source], [analysed(source)], context_for(source)), tmp_path / "sr.dcm")

    for page in (report_html(report), gallery_html([study(), study(results=(), probability=None)], "Title", "Lead")):
        assert not re.search(r"https?://|@import|url\(", page)
        assert unclosed(page) == []


def test_the_gallery_shows_each_study_with_its_pictures_report_and_figures() -> None:
    page = gallery_html([study(), study(name="RG3", outcome="not_applicable", reason="no chest", results=())], "T", "L")

    for words in ("RG1", "POSITIVE", 'src="s.png"', 'src="o.png"', 'src="r.html"', "88 ms", "NOT APPLICABLE"):
        assert words in page, words


def test_an_overlay_becomes_a_png_of_the_same_pixels(tmp_path: Path) -> None:
    source = make_cxr()
    built = build_overlay(source, radiograph_of(), analysed(source), context_for(source))
    overlay = written(built, tmp_path / "sc.dcm")

    picture = np.asarray(Image.open(io.BytesIO(overlay_png(overlay))))

    assert np.array_equal(picture, overlay.pixel_array)


def test_a_radiograph_becomes_a_grey_png_of_a_size_for_the_screen() -> None:
    picture = Image.open(io.BytesIO(as_png(preview(radiograph_of(2000, 1500)))))

    assert (picture.mode, picture.size) == ("L", (750, 1000))


def study(**changes: object) -> Exhibit:
    values: dict[str, object] = {
        "name": "RG1", "outcome": "positive", "reason": "", "probability": 0.931, "objects": 2, "expected": 2,
        "stages_ms": {"read": 88.2}, "sources": ("s.png",),
        "results": (Shown(Family.OVERLAY, "o.png"), Shown(Family.REPORT, "r.html")),
    }  # fmt: skip
    return Exhibit(**(values | changes))  # type: ignore[arg-type]  # values are those of the fields above


def unclosed(page: str) -> list[str]:
    """The tags that are opened and not closed, or closed and not opened."""

    class Stack(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "img"):
                self.tags = [*self.tags, tag]

        def handle_endtag(self, tag: str) -> None:
            self.tags = self.tags[:-1] if self.tags and self.tags[-1] == tag else [*self.tags, f"/{tag}"]

    parser = Stack()
    parser.feed(page)
    return parser.tags
