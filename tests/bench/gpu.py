"""A GPU: images a second with maps beside the forward pass alone, the best batch, and what the host can decode.

Without one each row says so. The maps and probabilities of both precisions are held to those of a CPU first.
"""

import copy
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxrnode.decoding.pixels import read_radiograph
from cxrnode.headers.opening import parsed
from models.calibrate import probability
from models.card import ModelCard, find, load_card
from models.devices import CPU, choose
from models.explain import Explainer
from models.passes import Passes
from models.prepared import prepared
from models.preprocess import to_tensor
from models.reader import network_of
from tests.bench.figures import Figure, Target, at_most, ratio_at_least
from tests.bench.timings import in_turn
from tests.builders import chest_like, make_cxr
from tests.nodes import saved
from tests.zoo import film_blots

MODEL, SIDE = "pneumonia-efficientnet-lite0", 224
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ROUNDS, FILMS = 7, 64
NEVER = "no GPU on this machine"
MAPS_APART = {"single": 1e-3, "half": 0.05}
"""of a map's range, against those of a CPU in single precision"""
WANTED: dict[str, tuple[str, Target | None]] = {
    "furthest probability from a CPU's": ("probability", at_most(0.01)),
    "furthest map from a CPU's": ("of the range", None),
    "best batch, maps beside the forward pass alone": ("images/s", ratio_at_least(0.9)),
    "best batch, maps beside what the host decodes": ("images/s", None),
}


def figures() -> list[Figure]:
    """In single and in half precision, of the shipped model."""
    if not torch.cuda.is_available():
        return [
            Figure.not_run(f"GPU, {precision}: {name}", unit, target, NEVER)
            for precision in MAPS_APART
            for name, (unit, target) in WANTED.items()
        ]
    return [one for precision in MAPS_APART for one in _on_the_gpu(precision)]


def _on_the_gpu(precision: str) -> list[Figure]:
    folder = find(MODEL, None)
    card, place, half = load_card(folder), choose("cuda"), precision == "half"
    network, _ = network_of(folder, "cpu")
    torch.manual_seed(0)
    inputs = film_blots(FILMS, SIDE)
    on_cpu = Passes(_explainer(network, card), CPU, 1)
    wanted = on_cpu.over(FILMS, lambda first, last: inputs[first:last])
    explainer, forward = _explainer(network, card, place), prepared(copy.deepcopy(network)).to(place)
    found = Passes(explainer, place, FILMS, half=half).over(FILMS, lambda first, last: inputs[first:last])
    probabilities = [
        abs(_probability(card, one[0]) - _probability(card, other[0])) for one, other in zip(found, wanted, strict=True)
    ]
    maps = [float(np.abs(a.values - b.values).max()) for (_, a), (_, b) in zip(found, wanted, strict=True)]
    if max(maps) > MAPS_APART[precision]:
        raise AssertionError(f"maps are {max(maps):.3f} apart, wanted {MAPS_APART[precision]} at the most")

    rates = {batch: _rates(explainer, forward, place, batch, half=half) for batch in BATCHES}
    best = max(BATCHES, key=lambda batch: float(np.median(rates[batch]["maps"])))
    cores, told = len(os.sched_getaffinity(0)), f"batch {best}"
    decoded = [cores / seconds for seconds in _decoding(card)]
    values: Sequence[tuple[Sequence[float], Sequence[float] | None, str]] = [
        ([max(probabilities)], None, ""),
        ([max(maps)], None, f"{MAPS_APART[precision]} is allowed"),
        (rates[best]["maps"], rates[best]["forward"], told),
        (rates[best]["maps"], decoded, f"{told}; raw films of 2500 x 2048, {cores} cores"),
    ]
    return [
        Figure.of(f"GPU, {precision}: {name}", unit, ours, reference, target, note)
        for (name, (unit, target)), (ours, reference, note) in zip(WANTED.items(), values, strict=True)
    ]


def _probability(card: ModelCard, logit: float) -> float:
    return probability(logit, card.calibration.temperature, card.calibration.bias)


def _decoding(card: ModelCard) -> list[float]:
    """Seconds of one core from a raw film's file to the network's input."""
    with tempfile.TemporaryDirectory(prefix="cxrnode-bench-") as folder:
        path = saved(make_cxr(chest_like(2500, 2048)), Path(folder) / "film.dcm")
        return in_turn({"one": lambda: to_tensor(read_radiograph(parsed(path)), card.input)}, ROUNDS)["one"]


def _explainer(network: nn.Module, card: ModelCard, place: torch.device = CPU) -> Explainer:
    return Explainer(prepared(copy.deepcopy(network)).to(place), card.explanation.layer)


def _rates(
    explainer: Explainer, network: nn.Module, place: torch.device, batch: int, *, half: bool
) -> dict[str, list[float]]:
    """Images a second with maps, and of the forward pass alone, each from the host's memory and back."""
    inputs = film_blots(batch, SIDE)
    passes = Passes(explainer, place, batch, half=half)

    def forward() -> NDArray[np.float32]:
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=half):
            logits: Tensor = network(inputs.to(place))
        found: NDArray[np.float32] = logits.float().cpu().numpy()
        return found

    ways: dict[str, Callable[[], object]] = {
        "maps": lambda: passes.over(batch, lambda first, last: inputs[first:last]),
        "forward": forward,
    }
    took = in_turn(ways, ROUNDS)
    if passes.device != place or passes.batch != batch:
        raise AssertionError(f"a batch of {batch} does not fit this GPU")
    return {way: [batch / seconds for seconds in turns] for way, turns in took.items()}
