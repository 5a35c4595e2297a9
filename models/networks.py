"""The architectures a card may name, each ending in one logit: (N, 3, rows, columns) -> (N, 1)."""

from collections.abc import Callable

import timm
import torchvision
from torch import nn

from cxrnode.errors import ModelMismatch


def build(architecture: str, dropout: float = 0.0) -> nn.Module:
    """An untrained network; `dropout` before its last layer matters in training only. Raises ModelMismatch."""
    if architecture not in NETWORKS:
        raise ModelMismatch(f"architecture {architecture!r} is unknown; wanted one of: {', '.join(NETWORKS)}")
    return NETWORKS[architecture](dropout)


def _efficientnet_lite0(dropout: float) -> nn.Module:
    """EfficientNet-Lite0 with TensorFlow's padding and batch norm constants, which the published weights need."""
    return timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=1, drop_rate=dropout)


def _mobilenet_v2(dropout: float) -> nn.Module:
    """MobileNetV2, width 1.0."""
    network: nn.Module = torchvision.models.mobilenet_v2(weights=None, num_classes=1, dropout=dropout)
    return network


NETWORKS: dict[str, Callable[[float], nn.Module]] = {
    "efficientnet_lite0": _efficientnet_lite0,
    "mobilenet_v2": _mobilenet_v2,
}
