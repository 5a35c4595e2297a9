"""What chance does to a film is bounded, repeatable and never a mirror."""

import pytest
import torch
from torch import Generator, Tensor

from models.training.augment import augment, blurred
from models.training.recipe import Augmentation

NOTHING = Augmentation(stretch=1.0, shift=0.0, rotation_deg=0.0, brightness=0.0, contrast=0.0)
MUCH = Augmentation(stretch=1.25, shift=0.05, rotation_deg=7.0, brightness=0.2, contrast=0.3)


def films(count: int = 200) -> Tensor:
    """Bright in the left third only, with a bright bar along the top of it."""
    images = torch.full((count, 1, 48, 48), 0.1)
    images[:, :, 12:36, 8:18] = 0.9
    return images


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def test_nothing_asked_is_nothing_done() -> None:
    assert augment(films(), NOTHING, seeded()).numpy() == pytest.approx(films().numpy(), abs=1e-5)


def test_the_same_seed_does_the_same() -> None:
    assert torch.equal(augment(films(), MUCH, seeded()), augment(films(), MUCH, seeded()))
    assert not torch.equal(augment(films(), MUCH, seeded()), augment(films(), MUCH, seeded(1)))


def test_values_stay_in_their_range_and_films_differ() -> None:
    changed = augment(films(), MUCH, seeded())
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert len({round(float(image.mean()), 4) for image in changed}) > 150


def test_left_stays_left() -> None:
    changed = augment(films(), MUCH, seeded())
    assert (changed[..., :24].mean(dim=(1, 2, 3)) > changed[..., 24:].mean(dim=(1, 2, 3))).all()


def test_the_aspect_is_stretched_both_ways_and_no_further_than_told() -> None:
    stretch = Augmentation(stretch=1.25, shift=0.0, rotation_deg=0.0, brightness=0.0, contrast=0.0)
    bright = augment(films(), stretch, seeded())[:, 0] > 0.5
    heights, widths = bright.any(dim=2).sum(dim=1), bright.any(dim=1).sum(dim=1)
    aspects = heights / widths / (24 / 10)
    assert aspects.min() < 0.8
    assert aspects.max() > 1.25
    assert heights.min() >= 24 / 1.25 - 2
    assert heights.max() <= 24 * 1.25 + 2


def test_blur_takes_each_films_edges_by_its_own_amount_and_keeps_its_grey() -> None:
    images = torch.rand(3, 1, 48, 48, generator=seeded())

    changed = blurred(images, torch.tensor([0.0, 0.5, 1.5]))

    edges = (changed[..., 1:] - changed[..., :-1]).abs().mean(dim=(1, 2, 3))
    assert torch.allclose(changed[0], images[0], atol=1e-6)
    assert edges[0] > 1.5 * edges[1] > 3 * edges[2]
    assert changed.mean(dim=(1, 2, 3)).numpy() == pytest.approx(images.mean(dim=(1, 2, 3)).numpy(), abs=0.01)


def test_a_blur_is_a_gaussian_of_its_standard_deviation() -> None:
    point = torch.zeros(1, 1, 33, 33)
    point[0, 0, 16, 16] = 1.0

    row = blurred(point, torch.tensor([1.2]))[0, 0].sum(dim=0)

    offsets = torch.arange(33) - 16
    assert float(row.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float((row * offsets**2).sum()) == pytest.approx(1.2**2, rel=0.01)
