"""Heat maps: the service's way beside a plain forward pass, and beside the library's Grad-CAM by default."""

import copy
import sys

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM
from torch import Tensor

from models.explain import Explainer
from models.networks import NETWORKS
from models.prepared import prepared
from tests.bench.figures import Figure, ratio_at_least, ratio_at_most
from tests.bench.timings import in_turn
from tests.zoo import calm, film_blots

ARCHITECTURES = ("resnet18", "densenet121", "mobilenet_v2", "efficientnet_b0")
MOST = {1: ratio_at_most(1.25), 16: ratio_at_most(1.10)}
"""of a forward pass, by images in it"""
ROUNDS = {1: 15, 16: 3}
SIDE, EQUAL = 224, 1e-5


def figures() -> list[Figure]:
    """Each architecture at both batches, one thread, weights drawn by chance; the maps must be the library's."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [one for batch in MOST for name in ARCHITECTURES for one in _of(name, batch)]
    finally:
        torch.set_num_threads(before)


def _of(architecture: str, batch: int) -> list[Figure]:
    plain, layer = calm(architecture), NETWORKS[architecture].gradcam_layer
    explained, quick = copy.deepcopy(plain), prepared(copy.deepcopy(plain))
    ours, forward_of_ours = Explainer(quick, layer), prepared(copy.deepcopy(plain))
    library = GradCAM(explained, [explained.get_submodule(layer)])
    inputs = film_blots(batch, SIDE)

    def default() -> NDArray[np.float32]:
        maps: NDArray[np.float32] = library(inputs, targets=[_the_logit] * batch)
        return maps

    @torch.inference_mode()
    def forward(network: torch.nn.Module) -> None:
        network(inputs)

    apart = max(
        float(np.abs(one.values - other).max()) for one, other in zip(ours.explain(inputs)[1], default(), strict=True)
    )
    if apart > EQUAL:
        raise AssertionError(f"{architecture}: maps are {apart:.1e} apart, wanted {EQUAL:.0e} at the most")
    ways = {
        "ours": lambda: ours.explain(inputs),
        "forward": lambda: forward(plain),
        "forward of ours": lambda: forward(forward_of_ours),
        "default": default,
    }
    took = in_turn(ways, ROUNDS[batch])
    times = {way: [1000 * seconds for seconds in turns] for way, turns in took.items()}
    rates = {way: [batch / seconds for seconds in turns] for way, turns in took.items()}
    where, same = f"{architecture}, batch {batch}", f"maps {apart:.0e} apart at most"
    sys.stdout.write(f"{where}: {', '.join(f'{way} {min(turns):.1f} ms' for way, turns in times.items())}; {same}\n")
    sys.stdout.flush()
    return [
        Figure.of(f"maps, {where}: beside a forward pass", "ms", times["ours"], times["forward"], MOST[batch]),
        Figure.of(
            f"maps, {where}: beside a forward pass of the network as the service has it",
            "ms",
            times["ours"],
            times["forward of ours"],
            MOST[batch],
        ),
        Figure.of(
            f"maps, {where}: beside pytorch-grad-cam by default",
            "images/s",
            rates["ours"],
            rates["default"],
            ratio_at_least(2.5),
            same,
        ),
    ]


def _the_logit(output: Tensor) -> Tensor:
    return output[0]
