"""Where a network looked: Grad-CAM (Selvaraju et al., ICCV 2017), the logits coming from the same single pass."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

from cxrnode.errors import ModelMismatch
from cxrnode.finding import Heatmap

METHOD = "Grad-CAM"


class Explainer:
    """A network that answers with logits and heatmaps; one caller at a time, for the hooks hold the last pass."""

    def __init__(self, network: nn.Module, layer: str) -> None:
        try:
            target = network.get_submodule(layer)
        except AttributeError as error:
            raise ModelMismatch(f"the network has no layer {layer!r}, which its card wants explained") from error
        _begin_graph_at(network, target, layer)
        self._cam = _PeakKeepingGradCam(network, [target])

    def explain(self, inputs: Tensor) -> tuple[NDArray[np.float64], list[Heatmap]]:
        """(N, 3, rows, columns) -> (N,) logits, and N heatmaps of (rows, columns) for the logit being high."""
        with torch.enable_grad():
            maps = self._cam(input_tensor=inputs, targets=[_the_logit] * len(inputs))
        logits = self._cam.outputs.detach().squeeze(1).double().cpu().numpy()
        self._cam.outputs = None  # lets the graph go
        heatmaps = [Heatmap(one, float(peak), METHOD) for one, peak in zip(maps, self._cam.peaks, strict=True)]
        return logits, heatmaps


class _PeakKeepingGradCam(GradCAM):  # type: ignore[misc]  # the library ships no types
    """The library's Grad-CAM, which scales each map to [0, 1], with each map's maximum before that."""

    peaks: NDArray[np.float32]

    def get_cam_image(self, *arguments: Any, **options: Any) -> NDArray[np.float32]:
        raw: NDArray[np.float32] = super().get_cam_image(*arguments, **options)  # (N, h, w)
        self.peaks = raw.max(axis=(1, 2)).clip(min=0)
        return raw


def _the_logit(output: Tensor) -> Tensor:
    return output[0]


def _begin_graph_at(network: nn.Module, target: nn.Module, layer: str) -> None:
    """Freeze all but the target layer's last parameter: the backward pass then ends there and costs next to nothing."""
    network.requires_grad_(requires_grad=False)
    parameters = list(target.parameters())
    if not parameters:
        raise ModelMismatch(f"layer {layer!r} has no parameters to begin the graph at; wanted the one before it")
    parameters[-1].requires_grad = True
