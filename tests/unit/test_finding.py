"""finding: values that exist are valid, and a study's outcome hides nothing."""

import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrnode.finding import Algorithm, Finding, Heatmap, Outcome, Reading, study_outcome

MAP = Heatmap(np.eye(7, dtype=np.float32), peak=0.3, method="Grad-CAM")


def test_the_outcomes_stand_in_the_order_in_which_a_study_prefers_them() -> None:
    assert [outcome.value for outcome in Outcome] == ["positive", "failed", "refused", "negative", "not_applicable"]


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        (["negative", "positive", "failed"], "positive"),
        (["negative", "failed", "refused"], "failed"),
        (["refused", "negative"], "refused"),
        (["not_applicable", "negative"], "negative"),
        (["not_applicable", "not_applicable"], "not_applicable"),
        ([], "not_applicable"),
    ],
)
def test_a_study_has_one_outcome_whatever_the_order(outcomes: list[str], whole: str) -> None:
    for order in permutations(map(Outcome, outcomes)):
        assert study_outcome(order) is Outcome(whole)


def test_only_positive_and_negative_are_analysed() -> None:
    assert {outcome for outcome in Outcome if outcome.analysed} == {Outcome.POSITIVE, Outcome.NEGATIVE}


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((7, 7), dtype=np.float64),
        np.zeros((7,), dtype=np.float32),
        np.zeros((1, 7, 7), dtype=np.float32),
        np.full((7, 7), 1.01, dtype=np.float32),
        np.full((7, 7), -0.01, dtype=np.float32),
        np.full((7, 7), np.nan, dtype=np.float32),
    ],
    ids=["float64", "one dimension", "three dimensions", "above 1", "below 0", "not a number"],
)
def test_a_heatmap_that_is_none_cannot_exist(values: Any) -> None:
    with pytest.raises(ValueError, match="heatmap"):
        Heatmap(values, peak=1.0, method="Grad-CAM")


@given(rows=st.integers(1, 60), columns=st.integers(1, 60), seed=st.integers(0, 9))
def test_a_heatmap_on_another_grid_keeps_its_range(rows: int, columns: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((7, 5), dtype=np.float32)

    resized = Heatmap(values, peak=1.0, method="Grad-CAM").resized(rows, columns)

    assert (resized.shape, resized.dtype) == ((rows, columns), np.float32)
    assert values.min() - 1e-6 <= resized.min() <= resized.max() <= values.max() + 1e-6


def test_a_heatmap_spans_the_image_from_edge_to_edge() -> None:
    quarter = Heatmap(np.array([[1, 0], [0, 0]], dtype=np.float32), peak=1.0, method="Grad-CAM")

    resized = quarter.resized(100, 60)

    assert resized[0, 0] == 1.0
    assert resized[-1, -1] == resized[-1, 0] == resized[0, -1] == 0.0
    assert resized[49, 0] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("probability", [-0.001, 1.001, math.nan, math.inf])
def test_a_probability_outside_0_to_1_cannot_exist(probability: float) -> None:
    with pytest.raises(ValueError, match=r"probability is .*, wanted a number in \[0, 1\]"):
        Finding(0.0, probability, MAP)


def test_the_operating_point_itself_is_positive() -> None:
    algorithm = Algorithm("model", "1", "digest", "1.2.3", "weights", 0.42, 0.7, "children", (1, 5))

    assert algorithm.judge(0.42) is Outcome.POSITIVE
    assert algorithm.judge(math.nextafter(0.42, 0)) is Outcome.NEGATIVE


def test_a_reading_has_a_finding_or_a_reason() -> None:
    finding = Finding(1.2, 0.8, MAP)

    assert Reading("1.2.3", Outcome.POSITIVE, finding=finding).finding is finding
    assert Reading("1.2.3", Outcome.REFUSED, "PatientID is absent").reason

    for outcome in Outcome:
        with pytest.raises(ValueError, match=f"{outcome} reading"):
            Reading("1.2.3", outcome, finding=None if outcome.analysed else finding)
    with pytest.raises(ValueError, match="a failed reading needs a reason"):
        Reading("1.2.3", Outcome.FAILED)
