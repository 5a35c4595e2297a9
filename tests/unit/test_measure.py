"""Figures agree with scikit-learn's, and their intervals know that films of one patient go together."""

import numpy as np
import pytest
from sklearn import metrics

from models.evaluation import measure as room
from models.evaluation.measure import figures, measure, youden_point

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(2, size=300)
PROBABILITIES = 1 / (1 + np.exp(-(2.0 * LABELS - 1 + GENERATOR.normal(size=300))))
PATIENTS = [str(number // 3) for number in range(300)]


def test_figures_agree_with_a_second_reader() -> None:
    found, answers = figures(PROBABILITIES, LABELS, 0.6), (PROBABILITIES >= 0.6).astype(int)
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(LABELS, PROBABILITIES))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(LABELS, answers))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(LABELS, answers))
    assert found["sensitivity"] == pytest.approx(metrics.recall_score(LABELS, answers))
    assert found["specificity"] == pytest.approx(metrics.recall_score(LABELS, answers, pos_label=0))
    assert found["f1"] == pytest.approx(metrics.f1_score(LABELS, answers))
    false_alarms, hits, _ = metrics.roc_curve(LABELS, PROBABILITIES, drop_intermediate=False)
    assert found["sensitivity_at_95_specificity"] == pytest.approx(hits[false_alarms <= 0.05].max())
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(LABELS, PROBABILITIES))


def test_figures_of_a_handful_of_films_worked_out_by_hand() -> None:
    """Negatives 0.1, 0.3, 0.6, 0.2 and positives 0.9, 0.8, 0.4, 0.7: one false alarm and one miss at a half."""
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    given = np.array([0.1, 0.3, 0.6, 0.2, 0.9, 0.8, 0.4, 0.7])
    assert figures(given, labels, 0.5) == pytest.approx(
        {
            "roc_auc": 15 / 16,
            "accuracy": 6 / 8,
            "balanced_accuracy": 3 / 4,
            "sensitivity": 3 / 4,
            "specificity": 3 / 4,
            "sensitivity_at_95_specificity": 3 / 4,
            "f1": 2 * 3 / (2 * 3 + 1 + 1),
            "brier": (0.01 + 0.09 + 0.36 + 0.04 + 0.01 + 0.04 + 0.36 + 0.09) / 8,
            "ece": (0.1 + 0.3 + 0.6 + 0.2 + 0.1 + 0.2 + 0.6 + 0.3) / 8,  # each film in a bin of its own
        }
    )


def test_a_perfect_classifier_is_perfect_in_every_resample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RESAMPLES", 100)
    for figure in measure(LABELS.astype(float), LABELS, PATIENTS, 0.5):
        wanted = 0.0 if figure.metric in {"brier", "ece"} else 1.0
        assert (figure.value, figure.ci_low, figure.ci_high) == (wanted,) * 3, figure.metric


def test_classifiers_that_know_nothing_mostly_have_a_half_in_their_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RESAMPLES", 200)
    generator, held, n = np.random.default_rng(8), 0, 60
    for _ in range(n):
        area = measure(generator.random(300), LABELS, PATIENTS, 0.5, seed=int(generator.integers(1e9)))[0]
        assert area.metric == "roc_auc"
        assert area.ci_high - area.ci_low < 0.2
        held += area.ci_low <= 0.5 <= area.ci_high
    assert 0.86 <= held / n <= 1


def test_intervals_hold_the_truth_about_as_often_as_they_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patients of five films that are right or wrong together, 0.8 right; as if of one film each, it would be 0.6."""
    monkeypatch.setattr(room, "RESAMPLES", 200)
    generator = np.random.default_rng(11)
    held, n = 0, 100
    for _ in range(n):
        right = np.repeat(generator.random(60) < 0.8, 5)
        labels = np.tile([0, 1], 150)
        given = np.where(right, labels, 1 - labels).astype(float)
        found = measure(given, labels, [str(film // 5) for film in range(300)], 0.5, seed=int(generator.integers(1e9)))
        accuracy = next(figure for figure in found if figure.metric == "accuracy")
        held += accuracy.ci_low <= 0.8 <= accuracy.ci_high
    assert 0.86 <= held / n <= 1


def test_ties_count_half() -> None:
    tied = np.array([0.5, 0.5, 0.5, 0.2])
    assert figures(tied, np.array([1, 0, 1, 0]), 0.5)["roc_auc"] == metrics.roc_auc_score([1, 0, 1, 0], tied)


def test_weights_mean_copies() -> None:
    """A film of weight two is the same as the film twice: what a resample rests on."""
    weights = np.random.default_rng(4).integers(0, 3, size=300)
    weighed = room.Films(PROBABILITIES, LABELS, 0.6).figures(weights[None].astype(float))
    copied = figures(np.repeat(PROBABILITIES, weights), np.repeat(LABELS, weights), 0.6)
    assert {name: values[0] for name, values in weighed.items()} == pytest.approx(copied)


def test_the_calibration_error_of_a_known_case() -> None:
    """Two bins of half the films each, 0.1 and 0.3 away from what comes true."""
    probabilities = np.repeat([0.1, 0.9], 10)
    labels = np.array([0] * 10 + [1] * 6 + [0] * 4)
    assert figures(probabilities, labels, 0.5)["ece"] == pytest.approx((0.1 + 0.3) / 2, abs=1e-6)


def test_intervals_hold_the_value_and_come_out_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RESAMPLES", 100)
    first = measure(PROBABILITIES, LABELS, PATIENTS, 0.5)
    assert all(figure.ci_low <= figure.value <= figure.ci_high for figure in first if figure.metric != "ece")
    assert measure(PROBABILITIES, LABELS, PATIENTS, 0.5) == first


def test_films_of_one_patient_are_drawn_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every film copied ten times within its patient: no new knowledge, so no narrower interval."""
    monkeypatch.setattr(room, "RESAMPLES", 100)
    alone = measure(PROBABILITIES[:60], LABELS[:60], [str(number) for number in range(60)], 0.5)
    copied = measure(
        np.repeat(PROBABILITIES[:60], 10), np.repeat(LABELS[:60], 10), [str(n // 10) for n in range(600)], 0.5
    )
    for one, other in zip(alone, copied, strict=True):
        assert (other.value, other.ci_low, other.ci_high) == pytest.approx(
            (one.value, one.ci_low, one.ci_high), abs=1e-6
        )


def test_the_operating_point_has_the_largest_youden_index() -> None:
    point = youden_point(PROBABILITIES, LABELS)
    chosen = figures(PROBABILITIES, LABELS, point)["balanced_accuracy"]
    assert chosen == max(figures(PROBABILITIES, LABELS, float(other))["balanced_accuracy"] for other in PROBABILITIES)


def test_the_operating_point_lies_between_classes_that_do_not_overlap() -> None:
    assert youden_point(np.array([0.1, 0.2, 0.7, 0.9]), np.array([0, 0, 1, 1])) == pytest.approx(0.45)
