"""Where a network looked: Grad-CAM (Selvaraju et al., ICCV 2017) or attention rollout, the logits of the same pass."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxrnode.errors import ModelMismatch
from cxrnode.finding import Heatmap, MapMethod
from models.borrowed import GradCAM, VisionTransformer
from models.rollout import AttentionRollout, maps_of_tokens, token_grid

Looked = tuple[Tensor, NDArray[np.float32], NDArray[np.float32]]
"""(N, 1) logits, (N, rows, columns) maps in [0, 1], (N,) raw peaks"""


class Explainer:
    """A network that answers with logits and heatmaps; one caller at a time, for the hooks hold the last pass.

    `layer` is what Grad-CAM explains; attention rollout takes all layers and wants none. Raises ModelMismatch.
    """

    def __init__(self, network: nn.Module, layer: str | None, method: MapMethod = MapMethod.GRAD_CAM) -> None:
        self.method = method
        self._look: _GradCam | AttentionRollout
        if method is MapMethod.ATTENTION_ROLLOUT:
            self._look = AttentionRollout(network)
        else:
            self._look = _GradCam(network, layer or "")

    def explain(self, inputs: Tensor) -> tuple[NDArray[np.float64], list[Heatmap]]:
        """(N, 3, rows, columns) -> (N,) logits, and N heatmaps of (rows, columns).

        Grad-CAM's are for the logit being high; attention rollout's are of no class.
        """
        logits, maps, peaks = self._look(inputs)
        heatmaps = [Heatmap(one, float(peak), self.method) for one, peak in zip(maps, peaks, strict=True)]
        return logits.detach().squeeze(1).double().cpu().numpy(), heatmaps

    def forget(self) -> None:
        """Let go of what a pass that failed has left behind."""
        self._look.forget()

    def move(self, device: torch.device) -> None:
        """From now on on this device."""
        self._look.move(device)


class _GradCam:
    """The library's Grad-CAM with every parameter frozen: the graph begins at the layer's output.

    The backward pass ends there and costs next to nothing. A copy goes on to the next layer, which may work in place.
    """

    def __init__(self, network: nn.Module, layer: str) -> None:
        try:
            target = network.get_submodule(layer)
        except AttributeError as error:
            raise ModelMismatch(f"the network has no layer {layer!r}, which its card wants explained") from error
        if target is network:
            raise ModelMismatch("a card that wants Grad-CAM names no layer; wanted the one to explain")
        network.requires_grad_(requires_grad=False)
        reshape: Callable[[Tensor], Tensor] | None = None
        if isinstance(network, VisionTransformer):
            grid = token_grid(network)
            reshape = lambda tokens: maps_of_tokens(tokens, grid)  # noqa: E731  # one line, and the grid with it
        target.register_forward_hook(_begin_graph)
        self._cam = _PeakKeepingGradCam(network, [target], reshape_transform=reshape)
        target.register_forward_hook(_go_on_with_a_copy)

    def __call__(self, inputs: Tensor) -> Looked:
        with torch.enable_grad():
            maps = self._cam(input_tensor=inputs, targets=[_the_logit] * len(inputs))
        logits = self._cam.outputs
        self._cam.outputs = None  # lets the graph go
        return logits, maps, self._cam.peaks

    def forget(self) -> None:
        """The graph of the last pass, and what its hooks have kept."""
        self._cam.outputs = None
        self._cam.activations_and_grads.clear()

    def move(self, device: torch.device) -> None:
        """The network, and where the library takes its inputs."""
        self._cam.model.to(device)
        self._cam.device = device


class _PeakKeepingGradCam(GradCAM):  # type: ignore[misc]  # the library ships no types
    """The library's Grad-CAM, which scales each map to [0, 1], with each map's maximum before that."""

    peaks: NDArray[np.float32]

    def get_cam_image(self, *arguments: Any, **options: Any) -> NDArray[np.float32]:
        raw: NDArray[np.float32] = super().get_cam_image(*arguments, **options)  # (N, h, w)
        self.peaks = raw.max(axis=(1, 2)).clip(min=0)
        return raw


def _the_logit(output: Tensor) -> Tensor:
    return output[0]


def _begin_graph(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    return output.detach().float().requires_grad_()


def _go_on_with_a_copy(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    return output.clone()
