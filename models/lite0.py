"""EfficientNet-Lite0 (Tan and Le, ICML 2019) as TensorFlow made it: its padding, its batch norms' constants, ReLU6.

Layers are called what timm calls those of its `tf_efficientnet_lite0`, and a test holds the two equal to the last bit.
timm itself costs each start a second: all its networks come with it, torch's compiler, a client of Hugging Face.
"""

from collections import OrderedDict
from itertools import pairwise
from math import sqrt

from torch import Tensor, nn
from torch.nn import functional

STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))  # fmt: skip  # noqa: E501  # a table
"""Of each stage: its blocks, their kernel, the first one's stride, how many times wider they are inside, channels."""
STEM, HEAD = 32, 1280


class BatchNormAct(nn.BatchNorm2d):
    """A batch norm and what follows it, under the norm's name."""

    def __init__(self, channels: int, act: nn.Module) -> None:
        super().__init__(channels, eps=1e-3)
        self.act = act

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, channels, rows, columns) -> the same."""
        answer: Tensor = self.act(super().forward(inputs))
        return answer


class Conv2dSame(nn.Conv2d):
    """A convolution padded as TensorFlow pads: ceil(side / stride) come out, and an odd zero goes to the far side."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, channels, rows, columns) -> (N, channels, ceil(rows / stride), ceil(columns / stride))."""
        rows, columns = (
            max((-(-side // stride) - 1) * stride + kernel - side, 0)
            for side, kernel, stride in zip(inputs.shape[-2:], self.kernel_size, self.stride, strict=True)
        )
        around = [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]
        return super().forward(functional.pad(inputs, around))


class DepthwiseSeparable(nn.Module):
    """The first stage's block: in depth, then across; no more channels out than in, and no way around it."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _conv(channels, channels, kernel, stride, groups=channels)
        self.bn1 = BatchNormAct(channels, _relu6())
        self.conv_pw = _conv(channels, out, 1)
        self.bn2 = BatchNormAct(out, nn.Identity())

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, channels, rows, columns) -> (N, out, rows / stride, columns / stride)."""
        answer: Tensor = self.bn2(self.conv_pw(self.bn1(self.conv_dw(inputs))))
        return answer


class InvertedResidual(nn.Module):
    """Wider, in depth, narrower again; and around it where it keeps the shape."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, times: int) -> None:
        super().__init__()
        inside = channels * times
        self.around = stride == 1 and channels == out
        self.conv_pw = _conv(channels, inside, 1)
        self.bn1 = BatchNormAct(inside, _relu6())
        self.conv_dw = _conv(inside, inside, kernel, stride, groups=inside)
        self.bn2 = BatchNormAct(inside, _relu6())
        self.conv_pwl = _conv(inside, out, 1)
        self.bn3 = BatchNormAct(out, nn.Identity())

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, channels, rows, columns) -> (N, out, rows / stride, columns / stride)."""
        wide = self.bn2(self.conv_dw(self.bn1(self.conv_pw(inputs))))
        answer: Tensor = self.bn3(self.conv_pwl(wide))
        return answer + inputs if self.around else answer


class Lite0(nn.Module):
    """(N, 3, rows, columns) -> (N, classes); untrained."""

    def __init__(self, classes: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.conv_stem = _conv(3, STEM, 3, 2)
        self.bn1 = BatchNormAct(STEM, _relu6())
        widths = (STEM, *(stage[-1] for stage in STAGES))
        self.blocks = nn.Sequential(*(_stage(*stage) for stage in zip(pairwise(widths), STAGES, strict=True)))
        self.conv_head = _conv(widths[-1], HEAD, 1)
        self.bn2 = BatchNormAct(HEAD, _relu6())
        self.classifier = nn.Linear(HEAD, classes)
        self.apply(_at_chance)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        seen = self.bn2(self.conv_head(self.blocks(self.bn1(self.conv_stem(images)))))
        seen = functional.adaptive_avg_pool2d(seen, 1).flatten(1)
        if self.dropout:
            seen = functional.dropout(seen, self.dropout, self.training)
        logits: Tensor = self.classifier(seen)
        return logits


def _stage(widths: tuple[int, int], stage: tuple[int, int, int, int, int]) -> nn.Sequential:
    blocks, kernel, stride, times, out = stage
    (channels, _), made = widths, OrderedDict[str, nn.Module]()
    for number in range(blocks):
        before, step = (out, 1) if number else (channels, stride)
        made[str(number)] = (
            InvertedResidual(before, out, kernel, step, times)
            if times > 1
            else DepthwiseSeparable(before, out, kernel, step)
        )
    return nn.Sequential(made)


def _conv(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Where the stride is 1, TensorFlow's padding is even, and the convolution's own does it."""
    if stride == 1:
        return nn.Conv2d(channels, out, kernel, padding=kernel // 2, groups=groups, bias=False)
    return Conv2dSame(channels, out, kernel, stride, groups=groups, bias=False)


def _relu6() -> nn.Module:
    return nn.ReLU6(inplace=True)


def _at_chance(layer: nn.Module) -> None:
    """As the publisher's code begins: each convolution by the weights that go out, the last layer evenly."""
    if isinstance(layer, nn.Conv2d):
        rows, columns = layer.kernel_size
        nn.init.normal_(layer.weight, 0.0, sqrt(2.0 / (rows * columns * layer.out_channels // layer.groups)))
    elif isinstance(layer, nn.Linear):
        nn.init.uniform_(layer.weight, -1 / sqrt(layer.out_features), 1 / sqrt(layer.out_features))
        nn.init.zeros_(layer.bias)
