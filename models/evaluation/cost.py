"""What one image costs: milliseconds with its map and without, at batch 1."""

import platform
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from torch import nn

from models.card import Explanation, Input
from models.evaluation.run import Cost
from models.explain import Explainer
from models.preprocess import normalise

REPEATS = 15


def cost_of(network: nn.Module, wanted: Input, explanation: Explanation, device: torch.device) -> Cost:
    """Medians of some passes, the first being left out; the network is frozen afterwards, as explaining wants it."""
    network = network.to(device).eval()
    inputs = normalise(torch.rand(1, 1, wanted.rows, wanted.columns, device=device), wanted)
    with torch.inference_mode():
        plain = _milliseconds(lambda: network(inputs), device)
    explainer = Explainer(network, explanation.layer, explanation.map_method)
    explained = _milliseconds(lambda: explainer.explain(inputs), device)
    return Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        plain_ms=round(plain, 1),
        explained_ms=round(explained, 1),
        machine=machine(device),
    )


def machine(device: torch.device) -> str:
    """The device in words: a GPU's name, or the CPU's kind and how many threads torch uses of it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {platform.machine()}, {torch.get_num_threads()} threads"


def _milliseconds(call: Callable[[], object], device: torch.device) -> float:
    taken = []
    for _ in range(REPEATS + 1):
        began = perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append((perf_counter() - began) * 1000)
    return median(taken[1:])
