"""A network that has learned, with what makes its logits probabilities and its probabilities answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.calibrate import fit_platt, fit_temperature, probabilities
from models.card import Calibration, Input, OperatingPoint
from models.evaluation.measure import youden_point
from models.training.dataset import Film, labels_of
from models.training.loop import logits_of

METHODS = {"temperature": "temperature scaling", "platt": "Platt scaling"}
RULE = "largest Youden index (sensitivity + specificity - 1) on the validation split"


@dataclass(frozen=True, eq=False)
class Trained:
    """What a card is written from."""

    network: nn.Module
    input: Input
    device: torch.device
    calibration: Calibration
    operating_point: OperatingPoint

    def answers(self, films: Sequence[Film]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N,) logits and (N,) calibrated probabilities of N films."""
        logits = logits_of(self.network, films, self.input, self.device)
        return logits, probabilities(logits, self.calibration.temperature, self.calibration.bias)


def calibrated(
    network: nn.Module, validation: Sequence[Film], wanted: Input, method: str, device: torch.device
) -> Trained:
    """Fit the calibration ("temperature" or "platt"), then choose the operating point, both on the validation films."""
    labels = labels_of(validation)
    logits = logits_of(network, validation, wanted, device)
    temperature, bias = fit_platt(logits, labels) if method == "platt" else (fit_temperature(logits, labels), 0.0)
    point = youden_point(probabilities(logits, temperature, bias), labels)
    calibration = Calibration(
        temperature=temperature,
        bias=bias,
        prevalence=float(labels.mean()),
        fitted_on=f"validation split ({METHODS[method]})",
    )
    return Trained(network, wanted, device, calibration, OperatingPoint(probability=point, rule=RULE))
