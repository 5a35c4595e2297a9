"""Attention rollout is Abnar and Zuidema's product of the weights that the very pass attended with."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from cxrnode.errors import ModelMismatch
from cxrnode.finding import MapMethod
from models.explain import Explainer
from models.rollout import maps_of_tokens, rolled_out
from tests.zoo import untrained

DEPTH, HEADS, WIDTH = 3, 2, 16


@pytest.fixture
def network() -> VisionTransformer:
    """64 pixels in 4 x 4 patches of 16."""
    torch.manual_seed(0)
    small = VisionTransformer(64, 16, DEPTH, HEADS, WIDTH, 32, num_classes=1)
    for parameter in small.parameters():
        nn.init.normal_(parameter, std=0.5)
    return small.eval()


def images() -> Tensor:
    return torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(1)) * 2 - 1


def explainer(network: nn.Module) -> Explainer:
    return Explainer(network, None, MapMethod.ATTENTION_ROLLOUT)


def attention_by_hand(block: nn.Module, tokens: Tensor) -> Tensor:
    """softmax(Q K' / sqrt(d)), heads averaged, from the weights of the block."""
    attention = block.get_submodule("self_attention")
    assert isinstance(attention, nn.MultiheadAttention)
    asked, offered, _ = (tokens @ attention.in_proj_weight.T + attention.in_proj_bias).chunk(3, dim=-1)
    asked, offered = (one.unflatten(2, (HEADS, -1)).transpose(1, 2) for one in (asked, offered))
    return (asked @ offered.transpose(2, 3) / (WIDTH / HEADS) ** 0.5).softmax(dim=-1).mean(dim=1)


def test_the_map_is_the_papers_by_hand(network: VisionTransformer) -> None:
    kept: list[Tensor] = []
    handles = []
    for block in network.encoder.layers:
        hook = block.ln_1.register_forward_hook(
            lambda _m, _i, output, block=block: kept.append(attention_by_hand(block, output))
        )
        handles.append(hook)
    with torch.no_grad():
        plain = network(images()).squeeze(1).numpy()
    for handle in handles:
        handle.remove()
    layers = [one.double().numpy() for one in kept]
    eye = np.eye(17)
    one, two, three = (0.5 * layer + 0.5 * eye for layer in layers)
    wanted = (three @ two @ one)[:, 0, 1:].reshape(2, 4, 4)

    logits, heatmaps = explainer(network).explain(images())
    assert logits == pytest.approx(plain, abs=1e-5)
    for heatmap, share in zip(heatmaps, wanted, strict=True):
        assert heatmap.method == "attention rollout"
        assert heatmap.values.shape == (64, 64)
        assert heatmap.peak == pytest.approx(share.max(), rel=1e-4)
        centres = heatmap.values.reshape(4, 16, 4, 16)[:, 7:9, :, 7:9].mean(axis=(1, 3))
        stretched = (share - share.min()) / (share.max() - share.min())
        assert np.abs(centres - stretched).max() < 0.05


def test_what_a_token_is_made_of_sums_to_one() -> None:
    layers = [torch.rand(2, 5, 5).softmax(dim=-1) for _ in range(4)]
    assert rolled_out(layers).sum(dim=-1) == pytest.approx(np.ones((2, 5)), abs=1e-5)


def test_equal_attention_everywhere_has_a_known_share(network: VisionTransformer) -> None:
    """Each layer is I / 2 + J / 2T, whose product over L layers is I / 2**L + (1 - 1 / 2**L) J / T."""
    with torch.no_grad():
        for block in network.encoder.layers:
            block.self_attention.in_proj_weight.zero_()
            block.self_attention.in_proj_bias.zero_()
    _, heatmaps = explainer(network).explain(images())
    assert [heatmap.peak for heatmap in heatmaps] == pytest.approx([(1 - 1 / 2**DEPTH) / 17] * 2, rel=1e-5)


def test_a_class_token_that_attends_to_one_patch_shows_that_patch() -> None:
    attention = torch.eye(17)[None].clone()
    attention[0, 0] = 0
    attention[0, 0, 1 + 4 * 2 + 3] = 1  # row 2, column 3
    shares = rolled_out([attention])[0, 0, 1:].reshape(4, 4)
    assert shares[2, 3] == 0.5
    assert shares.sum() == 0.5


def test_tokens_fall_into_their_places_without_the_class_token() -> None:
    tokens = torch.arange(1 + 6, dtype=torch.float32)[None, :, None].expand(1, 7, 2)
    assert maps_of_tokens(tokens, (2, 3))[0, 0].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_second_pass_forgets_the_first(network: VisionTransformer) -> None:
    rollout = explainer(network)
    alone = rollout.explain(images()[:1])[1][0]
    rollout.explain(images().flip(0))
    assert np.array_equal(rollout.explain(images()[:1])[1][0].values, alone.values)


def test_a_network_without_attention_is_refused() -> None:
    with pytest.raises(ModelMismatch, match=r"MobileNetV2; wanted a VisionTransformer"):
        explainer(untrained())
