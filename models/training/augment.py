"""What chance does to a batch of films while learning: stretch, shift, rotation, blur, brightness and contrast."""

import torch
from torch import Generator, Tensor
from torch.nn import functional

from models.training.recipe import Augmentation


def augment(images: Tensor, wanted: Augmentation, generator: Generator) -> Tensor:
    """(N, 1, rows, columns) in [0, 1] -> the same, each image changed on its own; `generator` lives on the CPU."""
    return exposed(moved(images, moves(len(images), wanted, generator)), wanted, generator)


def moves(count: int, wanted: Augmentation, generator: Generator) -> Tensor:
    """(count, 2, 3): where in the source each target pixel looks, in [-1, 1]; stretch, rotation and shift."""
    log_stretch = float(torch.tensor(wanted.stretch).log())

    def even(low: float, high: float) -> Tensor:
        return _even(count, low, high, generator)

    angle = torch.deg2rad(even(-wanted.rotation_deg, wanted.rotation_deg))
    across, down = even(-log_stretch, log_stretch).exp(), even(-log_stretch, log_stretch).exp()
    return torch.stack(
        [
            torch.stack([across * angle.cos(), -down * angle.sin(), even(-2 * wanted.shift, 2 * wanted.shift)], dim=1),
            torch.stack([across * angle.sin(), down * angle.cos(), even(-2 * wanted.shift, 2 * wanted.shift)], dim=1),
        ],
        dim=1,
    )


def moved(images: Tensor, theta: Tensor) -> Tensor:
    """(N, 1, rows, columns) -> the same, moved as `moves` says; black comes in at the borders."""
    grid = functional.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def exposed(images: Tensor, wanted: Augmentation, generator: Generator) -> Tensor:
    """(N, 1, rows, columns) in [0, 1] -> the same in another exposure: blur, contrast and brightness."""
    count, device = len(images), images.device
    contrast = _even(count, 1 - wanted.contrast, 1 + wanted.contrast, generator)[:, None, None, None].to(device)
    brightness = _even(count, -wanted.brightness, wanted.brightness, generator)[:, None, None, None].to(device)
    if wanted.blur_px:
        images = blurred(images, _even(count, 0, wanted.blur_px, generator).to(device))
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - middle) * contrast + middle + brightness).clamp(0, 1)


def blurred(images: Tensor, sigma_px: Tensor) -> Tensor:
    """(N, 1, rows, columns) -> the same, each under a Gaussian of its own deviation, borders mirrored."""
    radius = 5
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    weights = torch.exp(-0.5 * (offsets / sigma_px.clamp(min=1e-3)[:, None]) ** 2)
    weights = weights / weights.sum(dim=1, keepdim=True)  # (N, 2 * radius + 1)
    side_by_side = functional.pad(images, (radius,) * 4, mode="reflect").transpose(0, 1)  # (1, N, rows, columns)
    across = functional.conv2d(side_by_side, weights[:, None, None, :], groups=len(images))
    both = functional.conv2d(across, weights[:, None, :, None], groups=len(images))
    return both.transpose(0, 1)


def _even(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low
