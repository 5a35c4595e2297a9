"""What was tried to make the default model's forward pass quicker on a CPU, what the service does, and what lost.

One image and one thread, each way beside the network as it is loaded. It promises nothing. What needs a compiler
or another library was tried by hand: README tells of it.
"""

import copy
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from models.card import find
from models.passes import ALONE
from models.prepared import _fold, prepared
from models.reader import network_of
from tests.bench.figures import Figure
from tests.bench.timings import in_turn
from tests.zoo import film_blots

MODEL, SIDE, TOGETHER = "pneumonia-efficientnet-lite0", 224, 16
ROUNDS, SLOW_ROUNDS = 15, 3
EQUAL = 1e-5
Way = Callable[[], Tensor]


def figures() -> list[Figure]:
    """Milliseconds of each, and how far it moves the logit; the service's own must not by more than 1e-5."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # torch.jit is on its way out, and says so
            return _measured()
    finally:
        torch.set_num_threads(before)


def _measured() -> list[Figure]:
    network, _ = network_of(find(MODEL, None), "cpu")
    torch.manual_seed(0)
    one, many = film_blots(ALONE, SIDE), film_blots(TOGETHER, SIDE)
    ways, slow = _ways(network, one)
    found = _beside(ways, ROUNDS) + _beside(slow, SLOW_ROUNDS)
    service = prepared(copy.deepcopy(network))
    moved = float((service(one) - network(one)).abs().max())
    if moved > EQUAL:
        raise AssertionError(f"the service's network moves a logit by {moved:.1e}, wanted {EQUAL:.0e} at the most")
    took = in_turn({"together": lambda: service(many), "alone": lambda: [service(many[:1]) for _ in many]}, SLOW_ROUNDS)
    rates = {way: [TOGETHER / seconds for seconds in turns] for way, turns in took.items()}
    name = f"CPU: {TOGETHER} images in one pass beside one after another"
    return [*found, Figure.of(name, "images/s", rates["together"], rates["alone"], note="the service reads one by one")]


def _ways(network: nn.Module, one: Tensor) -> tuple[dict[str, Way], dict[str, Way]]:
    """By name: those that are worth many rounds, and those that are not."""
    last = one.contiguous(memory_format=torch.channels_last)
    channels_last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    folded, both = copy.deepcopy(network), prepared(copy.deepcopy(network))
    _fold(folded)
    frozen = torch.jit.freeze(torch.jit.trace(network, one))
    optimised = torch.jit.optimize_for_inference(torch.jit.trace(network, one))
    plain = _way(network, one)
    quick = {
        "as it is loaded": plain,
        "channels last": _way(channels_last, last),
        "batch norms folded": _way(folded, one),
        "folded and channels last (the service)": _way(both, one),
        "torch.jit.freeze": _way(frozen, one),
        "torch.jit.optimize_for_inference": _way(optimised, one),
    }
    half = {
        kind: _way(network, one, lambda kind=kind: torch.autocast("cpu", kind))  # type: ignore[misc]  # binds the name
        for kind in (torch.bfloat16, torch.float16)
    }
    slow = {
        "as it is loaded": plain,
        "autocast to bfloat16": half[torch.bfloat16],
        "autocast to float16": half[torch.float16],
        "without oneDNN": _way(network, one, lambda: torch.backends.mkldnn.flags(enabled=False)),
    }
    return quick, slow


def _way(
    network: Callable[[Tensor], Tensor], one: Tensor, under: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Way:
    def call() -> Tensor:
        with under():
            return network(one).float()

    return call


def _beside(ways: dict[str, Way], rounds: int) -> list[Figure]:
    """Each but the first beside the first."""
    wanted, *others = ways
    took = {way: [1000 * seconds for seconds in turns] for way, turns in in_turn(ways, rounds).items()}
    logit = ways[wanted]()
    moved = {way: float((ways[way]() - logit).abs().max()) for way in others}
    return [
        Figure.of(f"CPU: {way}", "ms", took[way], took[wanted], note=f"moves a logit by {moved[way]:.0e}")
        for way in others
    ]
