"""Our EfficientNet-Lite0 is timm's: its names, its shapes, and to the last bit what it answers and how it learns."""

import pytest
import timm
import torch
from torch import nn

from models.lite0 import Lite0

SIZES = ((2, 3, 224, 224), (2, 3, 97, 130))
"""the usual, and one whose sides need padding now on one side, now on both"""


@pytest.fixture(scope="module", params=[(1, 0.2), (1000, 0.0)], ids=["one logit", "ImageNet's"])
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    classes, dropout = request.param
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=classes, drop_rate=dropout)
    ours = Lite0(classes, dropout)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("size", SIZES, ids=["224 x 224", "97 x 130"])
def test_it_answers_as_timms_does_to_the_last_bit(
    pair: tuple[nn.Module, nn.Module], size: tuple[int, int, int, int]
) -> None:
    inputs = torch.rand(size, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        ours, theirs = (network.eval()(inputs) for network in pair)
    assert torch.equal(ours, theirs)


def test_it_learns_as_timms_does(pair: tuple[nn.Module, nn.Module]) -> None:
    inputs = torch.rand((4, 3, 96, 96), generator=torch.Generator().manual_seed(5))
    learned = []
    for network in pair:
        torch.manual_seed(6)  # dropout
        network.train()(inputs).square().mean().backward()
        learned.append({name: parameter.grad for name, parameter in network.named_parameters()})
    ours, theirs = learned
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    states = [network.state_dict() for network in pair]  # the norms' statistics moved as well
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])


def test_its_layers_are_called_as_timms_are_in_the_same_order(pair: tuple[nn.Module, nn.Module]) -> None:
    ours, theirs = ([(name, value.shape) for name, value in network.state_dict().items()] for network in pair)
    assert ours == theirs


def test_untrained_it_begins_as_timms_does() -> None:
    """Not the same numbers, for timm draws more of them than it uses, but of the same spread, layer by layer."""
    ours, theirs = Lite0(1000), timm.create_model("tf_efficientnet_lite0", pretrained=False)
    names = [name for name, _ in theirs.named_parameters()]
    for name in names:
        our, their = (network.get_parameter(name).detach() for network in (ours, theirs))
        assert float(our.mean()) == pytest.approx(float(their.mean()), abs=0.1), name
        if our.ndim > 1:
            assert float(our.std()) == pytest.approx(float(their.std()), rel=0.2), name
        else:
            assert torch.equal(our, their), name
