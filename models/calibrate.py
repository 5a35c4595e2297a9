"""What a logit means as a probability: temperature scaling (Guo et al., ICML 2017) or Platt's (Platt 1999).

A calibration is two numbers, `temperature` and `bias`: the probability is the logistic function of
logit / temperature + bias. Temperature scaling leaves the bias at nought.
"""

import math

import numpy as np
from numpy.typing import NDArray

TEMPERATURES = (0.05, 20.0)


def probability(logit: float, temperature: float, bias: float = 0.0) -> float:
    """The calibrated probability in [0, 1], in double precision so that every machine says the same."""
    scaled = logit / temperature + bias
    if scaled >= 0:
        return 1.0 / (1.0 + math.exp(-scaled))
    return math.exp(scaled) / (1.0 + math.exp(scaled))


def at_prevalence(probability: float, card_prevalence: float, site_prevalence: float) -> float:
    """What a probability that holds at one prevalence is at another, the images of each class being alike.

    The odds are multiplied by the ratio of the prior odds, which is equation 2.4 of Saerens, Latinne and Decaestecker
    (Neural Computation 14, 2002) for two classes. The order of probabilities is kept. Raises ValueError for a
    prevalence that is not between 0 and 1, both excluded.
    """
    for prevalence in (card_prevalence, site_prevalence):
        if not 0.0 < prevalence < 1.0:
            raise ValueError(f"prevalence is {prevalence}; wanted a number between 0 and 1, both excluded")
    if card_prevalence == site_prevalence:
        return probability
    positive = probability * (site_prevalence / card_prevalence)
    negative = (1.0 - probability) * ((1.0 - site_prevalence) / (1.0 - card_prevalence))
    return positive / (positive + negative)


def probabilities(logits: NDArray[np.float64], temperature: float, bias: float = 0.0) -> NDArray[np.float64]:
    """`probability` of each of (N,) logits."""
    return np.array([probability(float(logit), temperature, bias) for logit in logits], dtype=np.float64)


def negative_log_likelihood(
    logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float, bias: float = 0.0
) -> float:
    """Mean over (N,) logits, in nats, of labels 0 and 1."""
    scaled = logits / temperature + bias
    return float(np.mean(np.logaddexp(0.0, scaled) - labels * scaled))


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The temperature in [0.05, 20] that makes `labels` likeliest, to 0.3 %; 1 leaves the logits as they are."""
    candidates = [float(temperature) for temperature in np.geomspace(*TEMPERATURES, 2001)]
    return min(candidates, key=lambda temperature: negative_log_likelihood(logits, labels, temperature))


def fit_platt(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Temperature and bias that make `labels` likeliest, by Newton's method.

    The labels are drawn in a little, to (N+ + 1) / (N+ + 2) and 1 / (N- + 2) (Platt 1999, section 2.2), so that
    classes that do not overlap have a finite answer.
    """
    positives = int(labels.sum())
    wanted = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    inputs = np.stack([logits, np.ones_like(logits)], axis=1)  # (N, 2)
    slope_and_bias = np.array([0.0, math.log((positives + 1) / (len(labels) - positives + 1))])
    for _ in range(100):
        given = 1.0 / (1.0 + np.exp(-inputs @ slope_and_bias))
        curvature = inputs.T @ (inputs * (given * (1 - given))[:, None])
        step = np.linalg.solve(curvature, inputs.T @ (wanted - given))
        slope_and_bias += step
        if float(np.abs(step).max()) < 1e-10:
            break
    slope, bias = (float(one) for one in slope_and_bias)
    return 1.0 / min(max(slope, 1 / TEMPERATURES[1]), 1 / TEMPERATURES[0]), bias
