"""The architectures a card may name, each ending in one logit: (N, 3, rows, columns) -> (N, 1)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from cxrnode.errors import ModelMismatch
from models.borrowed import torchvision
from models.lite0 import Lite0


@dataclass(frozen=True)
class Architecture:
    """How to make one, and the names of two of its layers: the last, and the one that explanations look at."""

    make: Callable[[float], nn.Module]
    head: str
    gradcam_layer: str


def build(architecture: str, dropout: float = 0.0) -> nn.Module:
    """An untrained network; `dropout` before its last layer matters in training only. Raises ModelMismatch."""
    if architecture not in NETWORKS:
        raise ModelMismatch(f"architecture {architecture!r} is unknown; wanted one of: {', '.join(NETWORKS)}")
    return NETWORKS[architecture].make(dropout)


def _torchvision(name: str, *, has_dropout: bool = True) -> Callable[[float], nn.Module]:
    """torchvision's `name`; some have no dropout before their last layer, and then get none."""

    def make(dropout: float) -> nn.Module:
        options = {"dropout": dropout} if has_dropout else {}
        network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=1, **options)
        return network

    return make


class _DenseNet121(torchvision.models.DenseNet):  # type: ignore[misc]  # torchvision ships no types
    """DenseNet-121 whose last ReLU has a name: torchvision's works in place on what an explanation has looked at."""

    def __init__(self) -> None:
        super().__init__(growth_rate=32, block_config=(6, 12, 24, 16), num_init_features=64, num_classes=1)
        self.relu5 = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.relu5(self.features(inputs))
        logits: Tensor = self.classifier(maps.mean(dim=(2, 3)))
        return logits


NETWORKS: dict[str, Architecture] = {
    "densenet121": Architecture(lambda _: _DenseNet121(), "classifier", "relu5"),
    "efficientnet_b0": Architecture(_torchvision("efficientnet_b0"), "classifier.1", "features.8"),
    "efficientnet_lite0": Architecture(lambda dropout: Lite0(dropout=dropout), "classifier", "bn2"),
    "mobilenet_v2": Architecture(_torchvision("mobilenet_v2"), "classifier.1", "features.18"),
    "mobilenet_v3_large": Architecture(_torchvision("mobilenet_v3_large"), "classifier.3", "features.16"),
    "resnet18": Architecture(_torchvision("resnet18", has_dropout=False), "fc", "layer4"),
    "resnet50": Architecture(_torchvision("resnet50", has_dropout=False), "fc", "layer4"),
    "vgg16": Architecture(_torchvision("vgg16"), "classifier.6", "features.29"),
    "vit_b_16": Architecture(_torchvision("vit_b_16"), "heads.head", "encoder.layers.encoder_layer_11.ln_1"),
}
