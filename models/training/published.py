"""What the publishers of ImageNet weights call their layers, and what we call them."""

import re

LITE0_DEPTHS = (1, 2, 2, 3, 3, 4, 1)
"""blocks in each stage of EfficientNet-Lite0 (Tan and Le 2019, width and depth 1.0)"""

LITE0_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
LITE0_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
LITE0_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
B0_FIRST_BLOCK = {"_depthwise_conv": "0.0", "_bn1": "0.1", "_project_conv": "2.0", "_bn2": "2.1"}
B0_BLOCK = {
    "_expand_conv": "0.0",
    "_bn0": "0.1",
    "_depthwise_conv": "1.0",
    "_bn1": "1.1",
    "_project_conv": "3.0",
    "_bn2": "3.1",
}
B0_OUTSIDE = {
    "_conv_stem": "features.0.0",
    "_bn0": "features.0.1",
    "_conv_head": "features.8.0",
    "_bn1": "features.8.1",
    "_fc": "classifier.1",
}


def lite0_name(published: str) -> str:
    """`_blocks.2._bn0.weight` (blocks counted through) -> `blocks.1.1.bn1.weight` (stage, block in stage)."""
    module, rest, place = _lite0_place(published)
    if place is None:
        return f"{LITE0_OUTSIDE[module]}.{rest}"
    stage, number = place
    names = LITE0_FIRST_BLOCK if stage == 0 else LITE0_BLOCK
    return f"blocks.{stage}.{number}.{names[module]}.{rest}"


def b0_name_of_lite0(published: str) -> str:
    """The same layer in torchvision's EfficientNet-B0, of which Lite0 is all but squeeze-and-excitation."""
    module, rest, place = _lite0_place(published)
    if place is None:
        return f"{B0_OUTSIDE[module]}.{rest}"
    stage, number = place
    names = B0_FIRST_BLOCK if stage == 0 else B0_BLOCK
    return f"features.{stage + 1}.{number}.block.{names[module]}.{rest}"


def densenet_name(published: str) -> str:
    """torchvision's DenseNet files keep the names of an older release: `norm.1.weight` -> `norm1.weight`."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", published)


def _lite0_place(published: str) -> tuple[str, str, tuple[int, int] | None]:
    """The module, the rest of the name, and (stage, block in stage), None outside the blocks."""
    inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", published)
    if inside is None:
        module, _, rest = published.partition(".")
        return module, rest, None
    number, stage = int(inside[1]), 0
    while number >= LITE0_DEPTHS[stage]:
        number -= LITE0_DEPTHS[stage]
        stage += 1
    return inside[2], inside[3], (stage, number)
