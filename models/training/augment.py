"""What chance does to a batch of films while learning: stretch, shift, rotation, brightness and contrast."""

import torch
from torch import Generator, Tensor
from torch.nn import functional

from models.training.recipe import Augmentation


def augment(images: Tensor, wanted: Augmentation, generator: Generator) -> Tensor:
    """(N, 1, rows, columns) in [0, 1] -> the same, each image changed on its own; `generator` lives on the CPU."""

    def even(low: float, high: float) -> Tensor:
        return torch.rand(len(images), generator=generator) * (high - low) + low

    log_stretch = float(torch.tensor(wanted.stretch).log())
    angle = torch.deg2rad(even(-wanted.rotation_deg, wanted.rotation_deg))
    across, down = even(-log_stretch, log_stretch).exp(), even(-log_stretch, log_stretch).exp()
    theta = torch.stack(
        [
            torch.stack([across * angle.cos(), -down * angle.sin(), even(-2 * wanted.shift, 2 * wanted.shift)], dim=1),
            torch.stack([across * angle.sin(), down * angle.cos(), even(-2 * wanted.shift, 2 * wanted.shift)], dim=1),
        ],
        dim=1,
    )  # (N, 2, 3): where in the source each target pixel looks, in [-1, 1]
    contrast = even(1 - wanted.contrast, 1 + wanted.contrast)[:, None, None, None].to(images.device)
    brightness = even(-wanted.brightness, wanted.brightness)[:, None, None, None].to(images.device)

    grid = functional.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    middle = moved.mean(dim=(1, 2, 3), keepdim=True)
    return ((moved - middle) * contrast + middle + brightness).clamp(0, 1)
