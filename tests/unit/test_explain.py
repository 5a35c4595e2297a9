"""The cheap Grad-CAM is the library's Grad-CAM, with its peak kept and the logits of the same pass."""

import copy

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

from cxrnode.errors import ModelMismatch
from models.explain import Explainer
from tests.zoo import untrained

LAYERS = [("mobilenet_v2", "features.18"), ("mobilenet_v2", "features.14"), ("efficientnet_lite0", "bn2")]


def images(count: int = 3) -> Tensor:
    return torch.rand((count, 3, 96, 128), generator=torch.Generator().manual_seed(1)) * 2 - 1


def first(output: Tensor) -> Tensor:
    return output[0]


@pytest.mark.parametrize(("architecture", "layer"), LAYERS)
def test_maps_equal_those_of_the_librarys_default_call(architecture: str, layer: str) -> None:
    network = untrained(architecture)
    original = copy.deepcopy(network)
    wanted = GradCAM(original, [original.get_submodule(layer)])(images(), targets=[first] * 3)
    logits, heatmaps = Explainer(network, layer).explain(images())
    assert wanted.max() > 0.9, "an empty map proves nothing"
    for heatmap, one in zip(heatmaps, wanted, strict=True):
        assert heatmap.values.shape == (96, 128)
        assert np.abs(heatmap.values - one).max() < 1e-5
    with torch.inference_mode():
        assert logits == pytest.approx(original(images()).squeeze(1).numpy(), abs=1e-5)


@pytest.mark.parametrize(("architecture", "layer"), LAYERS)
def test_the_peak_is_that_of_the_paper_before_any_scaling(architecture: str, layer: str) -> None:
    """Selvaraju et al., equations 1 and 2, by hand."""
    network = untrained(architecture)
    kept: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output))
    logits = network(images())
    handle.remove()
    (gradient,) = torch.autograd.grad(logits.sum(), kept[0])
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    wanted = (weights * kept[0]).sum(dim=1).relu().amax(dim=(1, 2)).detach().numpy()
    assert wanted.max() > 0
    _, heatmaps = Explainer(network, layer).explain(images())
    assert [heatmap.peak for heatmap in heatmaps] == pytest.approx(wanted, rel=1e-4, abs=1e-7)


def test_a_map_that_speaks_only_against_the_finding_has_no_peak() -> None:
    network = untrained()
    head = network.get_submodule("classifier.1")
    assert isinstance(head, nn.Linear)
    nn.init.constant_(head.weight, -1.0)
    _, heatmaps = Explainer(network, "features.18").explain(images())
    assert [heatmap.peak for heatmap in heatmaps] == [0.0, 0.0, 0.0]
    assert not any(heatmap.values.any() for heatmap in heatmaps)


def test_one_forward_pass_gives_both_and_the_graph_begins_at_the_layer() -> None:
    network = untrained()
    explainer = Explainer(network, "features.18")
    passes: list[bool] = []
    network.register_forward_hook(lambda *_: passes.append(True))
    traced: list[bool] = []
    network.get_submodule("features.17").register_forward_hook(lambda _m, _i, out: traced.append(out.requires_grad))
    explainer.explain(images())
    assert len(passes) == 1
    assert traced == [False]


def test_an_index_error_in_the_network_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own context manager would swallow it."""
    network = untrained()
    explainer = Explainer(network, "features.18")

    def stumble(_: Tensor) -> Tensor:
        raise IndexError("planted")

    monkeypatch.setattr(network, "forward", stumble)
    with pytest.raises(IndexError, match="planted"):
        explainer.explain(images())


@pytest.mark.parametrize("layer", ["features.99", "features.18.2"])
def test_a_layer_that_cannot_be_explained_is_named(layer: str) -> None:
    with pytest.raises(ModelMismatch, match=layer):
        Explainer(untrained(), layer)
