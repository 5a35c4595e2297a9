"""Is this a frontal chest radiograph, upright, its greys as they should be? What the tags let pass, the pixels decide.

Left and right are not judged: a heart on the right is a finding, not a fault of the picture.
"""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cxrnode.radiograph import Film
from models.fill import fill
from models.gatecard import GateCard, Limits, load_gate_card
from models.gatenet import KINDS, SIDE, GateNetwork
from models.legible import nothing_there
from models.prepared import prepared
from models.preprocess import squashed

LOOKS = {
    "clockwise": "a chest film turned a quarter clockwise",
    "upside_down": "an upside-down chest film",
    "anticlockwise": "a chest film turned a quarter anticlockwise",
    "inverted": "a chest film with its greys inverted, air bright and bone dark",
    "other": "no frontal chest film",
}
WANTED = {
    "clockwise": "one that stands upright",
    "upside_down": "one that stands upright",
    "anticlockwise": "one that stands upright",
    "inverted": "air dark and bone bright",
    "other": "a frontal chest radiograph",
}


@dataclass(frozen=True)
class Seen:
    """What the gate makes of one radiograph: each kind's probability, and how far it lies from the known films.

    `nothing` is the sentence about a picture that was not worth a look, and then all else is empty.
    """

    nothing: str
    probabilities: dict[str, float]
    distance: float

    @property
    def kind(self) -> str:
        """The likeliest."""
        return max(self.probabilities, key=lambda kind: self.probabilities[kind])


class Gate:
    """A loaded gate, on the CPU, one radiograph at a time: the same answer whoever asks beside."""

    def __init__(self, card: GateCard, network: nn.Module) -> None:
        self.card = card
        self._network = network
        self._turn = threading.Lock()
        self._owner = os.getpid()

    def objection(self, radiograph: Film) -> str:
        """A radiograph in [0, 1] -> why it should not be read, as a sentence; empty: it may be."""
        return sentence(self.look(radiograph), self.card.limits)

    def warm(self) -> None:
        """One pass over a grey slope, so that the first patient does not wait."""
        self.look(np.tile(np.linspace(0, 1, SIDE, dtype=np.float32), (SIDE, 1)))

    def look(self, radiograph: Film) -> Seen:
        """A radiograph in [0, 1] -> what it looks like."""
        if os.getpid() != self._owner:
            raise RuntimeError("the gate was loaded before the fork; wanted each process to load its own")
        picture = squashed(radiograph, SIDE, SIDE)
        if nothing := nothing_there(picture):
            return Seen(nothing, {}, 0.0)
        with self._turn, torch.inference_mode():
            logits, distance = self._network(picture[None])
        shares = logits[0].double().softmax(0).tolist()
        return Seen("", dict(zip(KINDS, shares, strict=True)), float(distance))


def sentence(seen: Seen, limits: Limits) -> str:
    """What is wrong with a picture that looks like this; empty: nothing."""
    if seen.nothing:
        return seen.nothing
    if seen.kind != "upright":
        sure = seen.probabilities[seen.kind]
        return f"The pixels look like {LOOKS[seen.kind]} (gate {sure:.2f}); wanted {WANTED[seen.kind]}"
    frontal = seen.probabilities["upright"]
    if frontal < limits.frontal:
        return (
            "The pixels may not be an upright frontal chest film "
            f"(gate {frontal:.2f}); wanted one with {limits.frontal:.2f} or more"
        )
    if seen.distance > limits.distance:
        return (
            "The pixels are unlike every chest film that the gate knows "
            f"(distance {seen.distance:.2f}); wanted {limits.distance:.2f} or less"
        )
    return ""


def load(folder: Path) -> Gate:
    """Load the gate in `folder`. Raises ModelMismatch."""
    card = load_gate_card(folder)
    network = GateNetwork(card.groups)
    fill(network, folder, card)
    return Gate(card, prepared(network))
