"""A network that has learned, with what makes its logits probabilities and its probabilities answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.calibrate import fit_temperature, probabilities
from models.card import Calibration, OperatingPoint
from models.training.dataset import Film, labels_of
from models.training.loop import logits_of
from models.training.measure import youden_point
from models.training.start import Start

RULE = "largest Youden index (sensitivity + specificity - 1) on the validation split"


@dataclass(frozen=True, eq=False)
class Trained:
    """What a card is written from."""

    network: nn.Module
    start: Start
    device: torch.device
    calibration: Calibration
    operating_point: OperatingPoint

    def probabilities(self, films: Sequence[Film]) -> NDArray[np.float64]:
        """(N,) calibrated, of N films."""
        logits = logits_of(self.network, films, self.start.input, self.device)
        return probabilities(logits, self.calibration.temperature)


def calibrated(network: nn.Module, validation: Sequence[Film], start: Start, device: torch.device) -> Trained:
    """Fit the temperature, then choose the operating point, both on the validation films."""
    labels = labels_of(validation)
    logits = logits_of(network, validation, start.input, device)
    temperature = fit_temperature(logits, labels)
    point = youden_point(probabilities(logits, temperature), labels)
    calibration = Calibration(temperature=temperature, prevalence=float(labels.mean()), fitted_on="validation split")
    return Trained(network, start, device, calibration, OperatingPoint(probability=point, rule=RULE))
