"""Attention rollout (Abnar and Zuidema, ACL 2020): which patches reach a vision transformer's class token."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxrnode.errors import ModelMismatch
from models.borrowed import VisionTransformer, scale_cam_image


class AttentionRollout:
    """Rolls out the attention of a forward pass; it is the same for every class, and blind to what speaks against.

    torchvision's blocks ask their attention for no weights. Hooks ask for them and listen, so that what is rolled
    out is what the logits of the very pass were made with; logits move by float32's rounding.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network, self._grid = network, token_grid(network)
        self._kept: list[Tensor] = []
        for module in network.modules():
            if isinstance(module, nn.MultiheadAttention):
                module.register_forward_pre_hook(_ask_for_weights, with_kwargs=True)
                module.register_forward_hook(self._keep)

    def __call__(self, inputs: Tensor) -> tuple[Tensor, NDArray[np.float32], NDArray[np.float32]]:
        """(N, 3, rows, columns) -> (N, 1) logits, (N, rows, columns) maps in [0, 1], (N,) raw peaks.

        A raw value is the share of the class token that came from the patch; a map runs from its least to its most.
        """
        self.forget()
        with torch.inference_mode():
            logits = self._network(inputs)
            shares = rolled_out(self._kept)[:, 0, 1:].reshape(-1, *self._grid).float().cpu().numpy()
        self.forget()
        maps = scale_cam_image(shares, (inputs.shape[-1], inputs.shape[-2]))
        return logits, np.clip(maps, 0.0, 1.0), shares.max(axis=(1, 2))

    def forget(self) -> None:
        """The attention of the last pass."""
        self._kept.clear()

    def move(self, device: torch.device) -> None:
        """The network."""
        self._network.to(device)

    def _keep(self, _module: nn.Module, _inputs: object, output: tuple[Tensor, Tensor]) -> None:
        self._kept.append(output[1])


def rolled_out(attentions: Sequence[Tensor]) -> Tensor:
    """(N, tokens, tokens) of each layer, input's first, heads averaged -> what each token is made of, likewise.

    Section 3 of the paper: half of each layer is the residual path, and layers multiply.
    """
    identity = torch.eye(attentions[0].shape[-1], device=attentions[0].device)
    whole = identity.expand_as(attentions[0])
    for attention in attentions:
        whole = (0.5 * attention + 0.5 * identity) @ whole
    return whole


def token_grid(network: nn.Module) -> tuple[int, int]:
    """Rows and columns of a vision transformer's patches; raises ModelMismatch for any other network."""
    if not isinstance(network, VisionTransformer):
        raise ModelMismatch(f"attention is asked of a {type(network).__name__}; wanted a VisionTransformer")
    side = network.image_size // network.patch_size
    return side, side


def maps_of_tokens(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """(N, 1 + rows * columns, channels) -> (N, channels, rows, columns), the class token left out."""
    maps: Tensor = tokens[:, 1:].unflatten(1, grid)
    return maps.permute(0, 3, 1, 2)


def _ask_for_weights(_module: nn.Module, inputs: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return inputs, options | {"need_weights": True, "average_attn_weights": True}
