"""A model behind the gate: what the gate objects to is refused, or read with a warning, as the settings say."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch

from cxrnode.finding import Algorithm, Finding, Refusal
from cxrnode.radiograph import Film
from cxrnode.stopwatch import stage
from models.algorithm import beside
from models.gate import Gate

Radiographs = Sequence[Film]


class Readable(Protocol):
    """A model in service."""

    @property
    def algorithm(self) -> Algorithm:
        """What results say of it."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    def read(self, radiographs: Radiographs) -> Sequence[Finding | Refusal]:
        """One answer a radiograph, in order."""

    def warm(self) -> None:
        """A first pass."""


class Guarded:
    """`reader` behind `gate`; with `refuses` it reads no image that the gate objects to, else it warns of it."""

    def __init__(self, reader: Readable, gate: Gate, *, refuses: bool) -> None:
        self.algorithm = beside(reader.algorithm, {"gate": gate.card.digest})
        self._reader = reader
        self._gate = gate
        self._refuses = refuses

    @property
    def device(self) -> torch.device:
        """Where the model runs now."""
        return self._reader.device

    def read(self, radiographs: Radiographs) -> list[Finding | Refusal]:
        """Any number of radiographs in [0, 1], air dark -> one answer each, in the same order."""
        with stage("gate"):
            objections = [self._gate.objection(radiograph) for radiograph in radiographs]
        passed = [
            radiograph
            for radiograph, objection in zip(radiographs, objections, strict=True)
            if not (objection and self._refuses)
        ]
        answers = iter(self._reader.read(passed))
        return [
            Refusal(objection) if objection and self._refuses else _warned(next(answers), objection)
            for objection in objections
        ]

    def warm(self) -> None:
        """One pass of each over a blank image, which the gate then does not keep from the model."""
        self._reader.warm()
        self._gate.warm()


def _warned(answer: Finding | Refusal, objection: str) -> Finding | Refusal:
    if not objection or isinstance(answer, Refusal):
        return answer
    return replace(answer, warnings=(*answer.warnings, objection))
