"""A temperature makes logits into probabilities that come true."""

import numpy as np
import pytest

from models.calibrate import fit_temperature, negative_log_likelihood, probabilities, probability


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
