"""A network made quicker for service answers as before, under the same names of layers."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.card import find, load_card
from models.explain import Explainer
from models.gatenet import GateNetwork
from models.lite0 import Conv2dSame
from models.networks import NETWORKS
from models.prepared import WideConv2d, prepared
from models.reader import network_of
from models.unet import UNet
from tests.zoo import film_blots, settle, untrained

UNFOLDED = {"densenet121": 62}
"""DenseNet's norms stand before their convolutions, but for two in each block and the first"""


def gate_network() -> nn.Module:
    return settle(GateNetwork(), film_blots(16, 128)[:, :1])


def unet() -> nn.Module:
    return settle(UNet(8), film_blots(16, 64))


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{name: (lambda name=name: untrained(name), (2, 3, 224, 224)) for name in NETWORKS},  # type: ignore[misc]  # binds the name
    "gate": (gate_network, (2, 1, 128, 128)),
    "lungs": (unet, (2, 3, 64, 64)),
}


def norms_of(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", CASES)
def test_every_network_answers_as_before_but_for_the_order_of_adding_up(name: str) -> None:
    """In double precision, where that order tells nothing."""
    make, shape = CASES[name]
    before = make().double()
    after = prepared(copy.deepcopy(before))
    inputs = torch.rand(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.inference_mode():
        wanted, found = (_flat(network(inputs)) for network in (before, after))
    assert float((wanted - found).abs().max()) <= 1e-9 * float(wanted.abs().max())
    assert norms_of(after) == UNFOLDED.get(name, 0)
    assert {layer for layer, _ in before.named_modules()} >= {layer for layer, _ in after.named_modules()}


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet18", "layer4.1.conv2"), ("resnet18", "layer4.1.bn2"), ("mobilenet_v2", "features.18.0")],
)
def test_a_layer_that_is_explained_keeps_its_map(name: str, layer: str) -> None:
    """Red when a convolution is folded all the same: what it gives out is then another, and its map too."""
    before = untrained(name)
    inputs = torch.rand((1, 3, 224, 224), generator=torch.Generator().manual_seed(3))
    _, (wanted,) = Explainer(copy.deepcopy(before), layer).explain(inputs)
    _, (found,) = Explainer(prepared(before, layer), layer).explain(inputs)
    assert float(wanted.values.std()) > 0.05
    assert float(abs(wanted.values - found.values).max()) < 1e-3
    assert found.peak == pytest.approx(wanted.peak, rel=1e-3)


def test_the_logits_of_the_model_that_is_shipped_move_by_less_than_1e_5() -> None:
    folder = find("pneumonia-efficientnet-lite0", None)
    (before, _), (after, _) = network_of(folder, "cpu"), network_of(folder, "cpu")
    prepared(after)
    after.get_submodule(load_card(folder).explanation.layer or "")
    inputs = film_blots(4, 224)
    with torch.inference_mode():
        assert float((before(inputs) - after(inputs)).abs().max()) < 1e-5


@pytest.mark.parametrize("sides", [(8, 8), (7, 7), (8, 7), (7, 8), (112, 56), (1, 2)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_a_wider_kernel_pads_as_tensorflow_does_whether_the_sides_are_even_or_odd(
    kernel: int, sides: tuple[int, int]
) -> None:
    """Red when the zero before the kernel's first is left where a side is odd."""
    before = nn.Sequential(Conv2dSame(6, 6, kernel, 2, groups=6)).double()
    after = prepared(copy.deepcopy(before))
    inputs = torch.rand((2, 6, *sides), generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    assert isinstance(after.get_submodule("0"), WideConv2d)
    with torch.inference_mode():
        torch.testing.assert_close(after(inputs), before(inputs))


def _flat(answer: Tensor | tuple[Tensor, ...]) -> Tensor:
    return torch.cat([part.flatten() for part in (answer if isinstance(answer, tuple) else (answer,))])
