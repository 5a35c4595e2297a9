"""What is drawn looks like what a person has looked at, by structure and to the pixel in size."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.functional.image import structural_similarity_index_measure

from tests.golden import FOLDER, PICTURES, Picture, overlay, path_of, two_regions

ALIKE = 0.985
"""SSIM (Wang et al. 2004) at which pictures count as the same. Another FreeType may move letters a little; outlines
that lie three pixels too low give 0.977, and no outline 0.972."""


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_looks_as_it_did(name: str) -> None:
    assert alike(PICTURES[name](), golden(name)) >= ALIKE


def without_banner() -> Picture:
    picture = golden("positive").copy()
    picture[-40:] = picture[0, 0]
    return picture


def without_lines() -> Picture:
    return overlay(replace(two_regions(), regions=()))


@pytest.mark.parametrize("spoiled", [without_banner, without_lines, lambda: overlay(two_regions(shift=0.005))])
def test_a_picture_that_is_not_as_it_should_be_is_told(spoiled: Callable[[], Picture]) -> None:
    assert alike(spoiled(), golden("positive")) < ALIKE


def test_the_pictures_are_those_that_are_drawn_and_small() -> None:
    files = sorted(FOLDER.glob("*"))

    assert files == sorted(map(path_of, PICTURES))
    assert sum(file.stat().st_size for file in files) < 600_000


def golden(name: str) -> Picture:
    with Image.open(path_of(name)) as picture:
        return np.asarray(picture.convert("RGB"))


def alike(one: Picture, other: Picture) -> float:
    assert one.shape == other.shape
    tensors = (torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() for picture in (one, other))
    return float(structural_similarity_index_measure(*tensors, data_range=255.0))
