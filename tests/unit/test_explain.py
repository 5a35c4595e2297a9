"""The cheap Grad-CAM is the library's Grad-CAM, with its peak kept and the logits of the same pass."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from cxrnode.errors import ModelMismatch
from cxrnode.finding import Heatmap
from models.explain import Explainer
from models.networks import NETWORKS
from models.prepared import prepared
from tests.zoo import calm, film_blots, untrained

LAYERS = [(name, network.gradcam_layer) for name, network in NETWORKS.items()] + [("mobilenet_v2", "features.14")]


def images(count: int = 3) -> Tensor:
    return torch.rand((count, 3, 96, 128), generator=torch.Generator().manual_seed(1)) * 2 - 1


def images_for(network: nn.Module) -> Tensor:
    size = (224, 224) if isinstance(network, VisionTransformer) else (96, 128)
    return torch.rand((2, 3, *size), generator=torch.Generator().manual_seed(1)) * 2 - 1


def first(output: Tensor) -> Tensor:
    return output[0]


def patches(tokens: Tensor) -> Tensor:
    """The library's own recipe for a ViT of 14 x 14 patches."""
    return tokens[:, 1:, :].reshape(tokens.size(0), 14, 14, tokens.size(2)).transpose(2, 3).transpose(1, 2)


def librarys_default(network: nn.Module, layer: str, inputs: Tensor) -> NDArray[np.float32]:
    """Everything requires a gradient, and the graph begins at the first layer."""
    reshape = patches if isinstance(network, VisionTransformer) else None
    cam = GradCAM(network, [network.get_submodule(layer)], reshape_transform=reshape)
    maps: NDArray[np.float32] = cam(inputs, targets=[first] * len(inputs))
    cam.activations_and_grads.release()
    return maps


@dataclass(frozen=True)
class Case:
    """One network's layer, what is to be found there, and what was found."""

    architecture: str
    layer: str
    wanted_logits: NDArray[np.float32]
    wanted_maps: NDArray[np.float32]
    layer_output: Tensor
    gradient: Tensor
    logits: NDArray[np.float64]
    heatmaps: list[Heatmap]


@pytest.fixture(scope="module", params=LAYERS, ids="-".join)
def case(request: pytest.FixtureRequest) -> Case:
    architecture, layer = request.param
    network = untrained(architecture)
    inputs = images_for(network)
    wanted = librarys_default(network, layer, inputs)
    if not wanted.any():  # the head happens to speak only against the finding
        with torch.no_grad():
            network.get_parameter(f"{NETWORKS[architecture].head}.weight").neg_()
        wanted = librarys_default(network, layer, inputs)
    kept: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output))
    plain = network(inputs)
    handle.remove()
    (gradient,) = torch.autograd.grad(plain.sum(), kept[0])
    found = Explainer(network, layer).explain(inputs)
    return Case(architecture, layer, plain.squeeze(1).detach().numpy(), wanted, kept[0].detach(), gradient, *found)


def test_maps_equal_those_of_the_librarys_default_call(case: Case) -> None:
    assert case.wanted_maps.max() > 0.9, "an empty map proves nothing"
    for heatmap, one in zip(case.heatmaps, case.wanted_maps, strict=True):
        assert heatmap.method == "Grad-CAM"
        assert heatmap.values.shape == one.shape
        assert np.abs(heatmap.values - one).max() < 1e-5
    assert case.logits == pytest.approx(case.wanted_logits, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("architecture", ["resnet18", "densenet121", "mobilenet_v2", "efficientnet_b0"])
def test_maps_of_a_network_made_quicker_for_service_equal_them_too(architecture: str, batch: int) -> None:
    network, layer = calm(architecture), NETWORKS[architecture].gradcam_layer
    quick = Explainer(prepared(copy.deepcopy(network)), layer)
    torch.manual_seed(9)
    inputs = film_blots(batch, 96)
    wanted = librarys_default(network, layer, inputs)
    _, heatmaps = quick.explain(inputs)
    assert wanted.max(axis=(1, 2)).min() > 0.9, "an empty map proves nothing"
    assert max(float(np.abs(one.values - other).max()) for one, other in zip(heatmaps, wanted, strict=True)) < 1e-5


def test_the_peak_is_that_of_the_paper_before_any_scaling(case: Case) -> None:
    """Selvaraju et al., equations 1 and 2, by hand."""
    maps, gradient = (patches(one) if one.ndim == 3 else one for one in (case.layer_output, case.gradient))
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    wanted = (weights * maps).sum(dim=1).relu().amax(dim=(1, 2)).numpy()
    assert wanted.max() > 0
    assert [heatmap.peak for heatmap in case.heatmaps] == pytest.approx(wanted, rel=1e-4, abs=1e-7)


def test_the_layer_is_the_last_that_has_places(case: Case) -> None:
    """What follows is pooling and a head: the map is then the class activation map of Zhou et al. (CVPR 2016).

    In three cases no pooling follows: the head sees every place by itself, or attention does.
    """
    pooled = case.architecture not in {"vgg16", "vit_b_16"} and case.layer != "features.14"
    places = case.gradient.flatten(2) if case.gradient.ndim == 4 else case.gradient.transpose(1, 2)
    alike = bool(places.std(dim=2).max() <= 1e-6 * case.gradient.abs().max())
    assert alike == pooled


@pytest.mark.parametrize(("architecture", "layer"), [("mobilenet_v2", "features.18.1"), ("resnet18", "layer4.1.bn1")])
def test_what_is_explained_is_the_layers_own_output(architecture: str, layer: str) -> None:
    """The next layer works in place; the library then explains on a CPU what came of it, and on CUDA what was."""
    network = untrained(architecture)
    kept: list[Tensor] = []
    network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output.detach().clone()))
    explainer = Explainer(network, layer)
    explainer.explain(images(1))
    assert kept[0].min() < 0
    assert torch.equal(explainer._look._cam.activations_and_grads.activations[0], kept[0])


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


def test_a_layer_without_parameters_can_be_explained() -> None:
    layers = ("features.18", "features.18.2")
    (whole,), (part,) = (Explainer(untrained(), layer).explain(images(1))[1] for layer in layers)
    assert np.abs(whole.values - part.values).max() < 1e-6


@pytest.mark.parametrize("layer", ["features.99", ""])
def test_a_layer_that_is_not_there_is_named(layer: str) -> None:
    with pytest.raises(ModelMismatch, match=layer or "names no layer"):
        Explainer(untrained(), layer)
