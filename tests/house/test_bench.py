"""README's table of what was measured is made from the figures beside the benches, and says what is met and not."""

import json
from pathlib import Path

import pytest

from tests.bench import report, sizing
from tests.bench.__main__ import MEASURED, README, kept, table
from tests.bench.figures import Figure, Target, at_least, at_most, ratio_at_least, ratio_at_most
from tests.bench.timings import in_turn


def test_the_table_in_readme_is_that_of_the_measured_figures() -> None:
    readme = README.read_text(encoding="utf-8")
    if not MEASURED.exists():
        assert report.BEGIN not in readme
        return
    assert report.with_table(readme, table(MEASURED)) == readme
    assert report.BEGIN in readme


def test_the_sizes_in_readme_are_those_of_the_measured_figures() -> None:
    readme = README.read_text(encoding="utf-8")

    assert sizing.with_table(readme, sizing.markdown(kept(MEASURED))) == readme
    assert sizing.BEGIN in readme


@pytest.mark.parametrize(
    ("target", "kept", "missed"),
    [
        (ratio_at_least(5), (10.0, 2.0), (9.9, 2.0)),
        (ratio_at_most(1.1), (11.0, 10.0), (11.1, 10.0)),
        (at_most(15), (15.0, None), (15.1, None)),
        (at_least(15), (15.0, None), (14.9, None)),
    ],
)
def test_a_figure_is_met_or_not(
    target: Target, kept: tuple[float, float | None], missed: tuple[float, float | None]
) -> None:
    for (ours, reference), met in ((kept, True), (missed, False)):
        assert Figure("a", ours, reference, "ms", target).met is met


def test_a_ratio_without_a_reference_is_no_figure() -> None:
    with pytest.raises(ValueError, match="at least 2 times has no reference"):
        assert Figure("a", 1.0, None, "ms", ratio_at_least(2)).met


def test_the_file_and_the_table_say_what_was_found_and_what_was_not_run(tmp_path: Path) -> None:
    figures = [
        Figure.of("decode", "images/s", [10, 30, 20, 40], [4, 5, 5, 6], ratio_at_least(5), "the decoder's own limit"),
        Figure.not_run("on a GPU", "images/s", at_least(100), "no GPU"),
        Figure.not_run("on a GPU, half", "images/s", None, "no GPU"),
    ]
    report.write(tmp_path, [figure.as_object() for figure in figures])

    first, second, _ = json.loads((tmp_path / "bench.json").read_text())
    wanted = ("name", "ours", "reference", "unit", "ratio", "target", "met")
    assert [first[key] for key in wanted] == ["decode", 25.0, 5.0, "images/s", 5.0, "at least 5 times", True]
    assert (second["ours"], second["met"], second["note"]) == (None, None, "not run: no GPU")
    told = table(tmp_path)
    assert "| decode | 25 (17.5 to 32.5) images/s | 5 (4.75 to 5.25) images/s | 5.00 | at least 5 times | yes |" in told
    assert "| on a GPU |  |  |  | at least 100 | not run |" in told
    assert told.endswith("* decode: the decoder's own limit\n* on a GPU: not run: no GPU")


def test_two_ways_take_turns_after_one_that_is_not_counted() -> None:
    calls: list[str] = []
    took = in_turn({"ours": lambda: calls.append("a"), "reference": lambda: calls.append("b")}, 2)

    assert calls == ["a", "b"] * 3
    assert {name: len(seconds) for name, seconds in took.items()} == {"ours": 2, "reference": 2}
