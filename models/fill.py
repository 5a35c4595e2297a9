"""Weights from a model's folder into its network, whatever kind of model it is."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from cxrnode.errors import ModelMismatch
from models.card import Card


def fill(network: nn.Module, folder: Path, card: Card, wanted: str = "") -> None:
    """Load the weights beside a card, which has been held to their sha256, into the network. Raises ModelMismatch.

    `wanted` says in the message what they should fit; the card's architecture unless given.
    """
    path = folder / card.weights.file
    try:
        network.load_state_dict(load_file(path), strict=True)
    except (RuntimeError, SafetensorError) as error:
        fitting = wanted or f"the architecture {card.architecture}"
        raise ModelMismatch(f"{path} does not fit {fitting}: {error}") from error
