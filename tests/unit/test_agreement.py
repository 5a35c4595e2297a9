"""Agreement and ROC against scikit-learn and SciPy, small cases reckoned by hand, and the definitions themselves."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import cohen_kappa_score, roc_auc_score, roc_curve

from cxrnode.compare import agreement, roc
from cxrnode.compare.agreement import Calling, Estimate
from models.evaluation import measure

Floats = NDArray[np.float64]


def two_models(count: int, seed: int = 0, apart: float = 1.0) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Probabilities of two models that agree more or less, and what is true."""
    generator = np.random.default_rng(seed)
    truth = generator.random(count) < 0.4
    shared = generator.normal(np.where(truth, 1.0, -1.0), 1.0)
    a, b = (1 / (1 + np.exp(-shared - generator.normal(0, apart, count))) for _ in "ab")
    return a, b, truth


def alone(count: int) -> NDArray[np.int64]:
    """Each image a study of its own."""
    return np.arange(count)


def fleiss_error(table: Calling) -> float:
    """The asymptotic standard error of kappa: Fleiss, Cohen and Everitt, Psychol Bull 1969; 72: 323-327."""
    p = np.array([[table.both, table.only_a], [table.only_b, table.neither]]) / table.total
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    seen, chance = np.trace(p), float(rows @ columns)
    k = (seen - chance) / (1 - chance)
    first = sum(p[i, i] * (1 - (rows[i] + columns[i]) * (1 - k)) ** 2 for i in range(2))
    second = (1 - k) ** 2 * sum(p[i, j] * (columns[i] + rows[j]) ** 2 for i in range(2) for j in range(2) if i != j)
    third = (k - chance * (1 - k)) ** 2
    return math.sqrt((first + second - third) / table.total) / (1 - chance)


def test_kappa_is_scikit_learns_and_its_interval_is_the_asymptotic_one_where_studies_have_one_image() -> None:
    for seed in range(5):
        a, b, _ = two_models(1500, seed)
        called_a, called_b = a >= 0.5, b >= 0.4

        found = agreement.kappa(called_a, called_b, alone(1500))

        assert found.value == pytest.approx(cohen_kappa_score(called_a, called_b), abs=1e-12)
        half = 1.96 * fleiss_error(agreement.calling(called_a, called_b))
        assert [found.low, found.high] == pytest.approx([found.value - half, found.value + half], abs=0.012)


def test_kappa_of_a_table_reckoned_by_hand() -> None:
    both, only_a, only_b, neither = 20, 5, 10, 15  # seen 0.7, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])

    assert agreement.calling(a, b) == Calling(both, only_a, only_b, neither)
    assert agreement.kappa(a, b, alone(50)).value == pytest.approx(0.4)
    assert agreement.agreement(a, b, alone(50)).value == pytest.approx(0.7)


def test_images_of_one_study_do_not_make_an_interval_narrower() -> None:
    a, b, _ = two_models(200)
    once = agreement.kappa(a >= 0.5, b >= 0.5, alone(200))
    copied = agreement.kappa(np.repeat(a, 5) >= 0.5, np.repeat(b, 5) >= 0.5, np.repeat(alone(200), 5))
    told = agreement.differences(a, b, alone(200)).mean
    told_copied = agreement.differences(np.repeat(a, 5), np.repeat(b, 5), np.repeat(alone(200), 5)).mean

    assert copied == once
    assert [told_copied.value, told_copied.low, told_copied.high] == pytest.approx([told.value, told.low, told.high])


def test_where_nothing_varies_there_is_no_interval_and_where_all_is_called_alike_no_kappa() -> None:
    called = np.array([True, False, True, False])

    assert agreement.kappa(called, called, alone(4)) == Estimate(1.0)
    assert agreement.kappa(called & False, called & False, alone(4)) == Estimate(None)
    assert agreement.kappa(called[:0], called[:0], alone(0)) == Estimate(None)
    assert agreement.differences(np.ones(3), np.ones(3), alone(3)).mean == Estimate(0.0)
    assert agreement.differences(np.ones(1), np.zeros(1), alone(1)).mean == Estimate(-1.0)
    assert agreement.differences(np.ones(0), np.zeros(0), alone(0)).mean == Estimate(None)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (0, 6), (3, 9), (40, 52), (5000, 5200), (700, 100)])
def test_mcnemars_exact_test_is_the_binomial_test(only_a: int, only_b: int) -> None:
    flips = only_a + only_b
    expected = stats.binomtest(only_a, flips, 0.5).pvalue if flips else 1.0

    assert agreement.mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-8)


def test_differences_and_limits_of_agreement_reckoned_by_hand() -> None:
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.0, 5.0, 5.0])  # 1, 0, 2, 1: mean 1, variance 2 / 3

    told = agreement.differences(a, b, alone(4))

    deviation = math.sqrt(2 / 3)
    assert told.mean.value == 1.0
    assert told.deviation == pytest.approx(deviation)
    assert [told.lower_limit, told.upper_limit] == pytest.approx([1 - 1.96 * deviation, 1 + 1.96 * deviation], abs=1e-4)
    assert told.mean.high == pytest.approx(1 + 1.96 * deviation / 2, abs=1e-4)


def test_a_logit_of_0_and_1_is_finite_and_told_apart_from_none() -> None:
    assert agreement.logit(np.array([0.0, 0.5, 1.0])) == pytest.approx([-13.8155, 0.0, 13.8155], abs=1e-3)


@pytest.mark.parametrize(("part", "whole"), [(0, 30), (3, 30), (30, 30), (4200, 100_000)])
def test_a_shares_interval_is_wilsons(part: int, whole: int) -> None:
    expected = stats.binomtest(part, whole).proportion_ci(0.95, method="wilson")

    found = agreement.share(part, whole)

    assert [found.value, found.low, found.high] == pytest.approx([part / whole, *expected], abs=1e-9)
    assert agreement.share(0, 0) == Estimate(None)


def test_a_study_is_positive_where_any_of_its_images_is() -> None:
    studies = np.array([3, 3, 5, 7, 7])

    assert agreement.any_of(np.array([0, 1, 0, 0, 0], dtype=bool), studies).tolist() == [True, False, False]


def test_areas_and_curves_are_scikit_learns_with_ties_and_without() -> None:
    for decimals in (1, 12):
        a, b, truth = two_models(400)
        a, b = a.round(decimals), b.round(decimals)

        found = roc.areas(a, b, truth, alone(400))

        assert found is not None
        areas = [roc_auc_score(truth, one) for one in (a, b)]
        assert [found.a.value, found.b.value, found.difference.value] == pytest.approx([*areas, areas[1] - areas[0]])
        for one in (a, b):
            across, up, _ = roc_curve(truth, one, drop_intermediate=False)
            assert np.stack(roc.curve(one, truth)) == pytest.approx(np.stack([across, up]))


def test_the_intervals_are_delongs_by_the_definition() -> None:
    a, b, truth = two_models(150, seed=3)
    count = int(truth.sum())
    components = []
    for one in (a, b):
        above = (one[truth][:, None] > one[~truth]) + 0.5 * (one[truth][:, None] == one[~truth])
        components.append((above.mean(axis=1), above.mean(axis=0)))
    positives, negatives = (np.stack([pair[i] for pair in components]) for i in (0, 1))
    covariance = np.cov(positives) / count + np.cov(negatives) / (150 - count)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]

    found = roc.areas(a, b, truth, alone(150))

    assert found is not None
    assert found.a.value is not None
    assert found.a.low == pytest.approx(found.a.value - 1.96 * math.sqrt(covariance[0, 0]), abs=1e-5)
    assert found.difference.value is not None
    assert found.difference.low == pytest.approx(found.difference.value - 1.96 * math.sqrt(variance), abs=1e-5)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.difference.value) / math.sqrt(variance)))


def test_the_intervals_of_images_that_belong_together_are_those_of_a_bootstrap_over_studies() -> None:
    generator = np.random.default_rng(5)
    studies = np.repeat(np.arange(150), generator.integers(1, 5, 150))
    truth = generator.random(len(studies)) < generator.choice([0.05, 0.5, 0.9], 150)[studies]  # both within a study
    by_study = generator.normal(0, 1.0, 150)[studies]
    a, b = (1 / (1 + np.exp(-(truth * 1.5 + by_study + generator.normal(0, 0.7, len(studies))))) for _ in "ab")

    found = roc.areas(a, b, truth, studies)
    naive = roc.areas(a, b, truth, alone(len(studies)))

    assert found is not None
    assert naive is not None
    weights = measure.resamples([str(one) for one in studies], truth.astype(np.int64), seed=1)
    drawn = [measure.Films(one, truth.astype(np.int64), 0.5).figures(weights)["roc_auc"] for one in (a, b)]
    for estimate, values in ((found.a, drawn[0]), (found.b, drawn[1]), (found.difference, drawn[1] - drawn[0])):
        assert [estimate.low, estimate.high] == pytest.approx(np.percentile(values, (2.5, 97.5)).tolist(), abs=0.008)
    assert width(found.a) > 1.2 * width(naive.a), "this case tells images that belong together from others"


def test_without_both_classes_there_is_no_area_and_where_nothing_varies_no_interval() -> None:
    a, truth = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])

    assert roc.areas(a, a, truth & False, alone(4)) is None
    assert roc.areas(a, a, truth | True, alone(4)) is None
    found = roc.areas(a, a, truth, alone(4))
    assert found is not None
    assert (found.a, found.difference, found.p) == (Estimate(1.0), Estimate(0.0), None)


def width(estimate: Estimate) -> float:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.high - estimate.low
