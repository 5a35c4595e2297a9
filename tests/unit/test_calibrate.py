"""A temperature makes logits into probabilities that come true."""

import numpy as np
import pytest
from sklearn.calibration import _SigmoidCalibration

from models.calibrate import fit_platt, fit_temperature, negative_log_likelihood, probabilities, probability


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found_again(temperature: float) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(scale=4.0, size=20_000)
    labels = (generator.random(20_000) < probabilities(logits, temperature)).astype(np.int64)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_the_fitted_temperature_is_likelier_than_its_neighbours() -> None:
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=200), generator.integers(2, size=200)
    fitted = fit_temperature(logits, labels)
    best = negative_log_likelihood(logits, labels, fitted)
    for other in (fitted * 0.9, fitted * 1.1):
        if 0.05 <= other <= 20:
            assert best <= negative_log_likelihood(logits, labels, other)


@pytest.mark.parametrize(
    ("logit", "wanted"), [(0.0, 0.5), (2.0, 0.7310585786300049), (-2.0, 0.2689414213699951), (1e6, 1.0), (-1e6, 0.0)]
)
def test_a_probability_is_the_logistic_of_the_scaled_logit(logit: float, wanted: float) -> None:
    assert probability(logit, 2.0) == pytest.approx(wanted, abs=1e-15)


def test_platt_finds_slope_and_bias_of_a_made_up_population() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 3, size=40_000)
    labels = (generator.random(len(logits)) < probabilities(logits, 2.5, -0.8)).astype(np.int64)
    temperature, bias = fit_platt(logits, labels)
    assert temperature == pytest.approx(2.5, rel=0.05)
    assert bias == pytest.approx(-0.8, abs=0.05)


def test_platt_stays_finite_where_the_classes_do_not_overlap() -> None:
    temperature, bias = fit_platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 0, 1, 1]))
    assert 0.05 <= temperature <= 20
    assert probability(2.0, temperature, bias) < 0.99


def test_platt_agrees_with_another_implementation() -> None:
    """scikit-learn's sigmoid calibration, which keeps Platt's targets."""
    generator = np.random.default_rng(2)
    logits = generator.normal(1, 2, size=300)
    labels = (generator.random(300) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    theirs = _SigmoidCalibration().fit(logits, labels)
    temperature, bias = fit_platt(logits, labels)
    assert probabilities(logits, temperature, bias) == pytest.approx(theirs.predict(logits), abs=1e-4)
