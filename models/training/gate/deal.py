"""Lessons for the gate: upright films, the same turned and inverted, and what is no film, all marred alike.

Frame, sharpness, brightness and writing at the edge never go with the kind: the same chance befalls every picture.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from models.gatenet import KINDS, SIDE, GateNetwork
from models.preprocess import squashed
from models.training.augment import augment
from models.training.gate.films import Frontal
from models.training.gate.pictures import MAKERS
from models.training.recipe import Augmentation

CHUNK = 64


@dataclass(frozen=True, eq=False)
class Lessons:
    """N pictures as the trunk sees them, their kinds as places in KINDS, and whose films they were made of."""

    fields: Tensor
    kinds: Tensor
    groups: Tensor


def deal(
    network: GateNetwork,
    groups: Sequence[Sequence[Frontal]],
    count: Mapping[str, int],
    marring: Augmentation,
    seed: int,
) -> Lessons:
    """`count` of each kind, from every group of patients alike, marred by chance and seen through the trunk."""
    generator, chance = np.random.default_rng(seed), Generator().manual_seed(seed)
    plan = [
        (kind, group)
        for kind, name in enumerate(KINDS)
        for group in range(len(groups))
        for _ in range(count[name] // len(groups))
    ]
    order = [plan[index] for index in generator.permutation(len(plan))]
    seen = []
    with torch.inference_mode():
        for first in range(0, len(order), CHUNK):
            chunk = order[first : first + CHUNK]
            plain = torch.stack([_picture(kind, groups[group], generator) for kind, group in chunk])
            marred = mar(augment(plain, marring, chance), chance)
            turned = [shown(one, KINDS[kind]) for one, (kind, _) in zip(marred, chunk, strict=True)]
            seen.append(network.fields(torch.stack(turned)))
    kinds, of_group = torch.tensor(order).T
    return Lessons(torch.cat(seen), kinds, of_group)


def shown(picture: Tensor, kind: str) -> Tensor:
    """An upright film (1, rows, columns) as that kind; what is no film stays as it is."""
    turns = {"clockwise": -1, "upside_down": 2, "anticlockwise": 1}
    if kind == "inverted":
        return 1 - picture
    return torch.rot90(picture, turns.get(kind, 0), (1, 2))


def mar(pictures: Tensor, chance: Generator) -> Tensor:
    """(N, 1, side, side) -> the same, some mirrored, darker or lighter, in a frame, with writing near an edge."""

    def even(low: float, high: float) -> float:
        return float(torch.rand((), generator=chance)) * (high - low) + low

    marred = []
    for one in pictures:
        picture = (one.flip(2) if even(0, 1) < 0.5 else one.clone()) ** even(0.7, 1.4)
        side_px = picture.shape[1]
        if even(0, 1) < 0.3:
            down, across = (int(even(0.01, 0.9) * (side_px - 12)) for _ in range(2))
            down = down if even(0, 1) < 0.5 else int(even(0, 1) < 0.5) * (side_px - 12)
            picture[:, down : down + int(even(3, 12)), across : across + int(even(3, 12))] = 1.0
        grey = even(0, 1) if even(0, 1) < 0.3 else float(even(0, 1) < 0.3)
        for axis, far in ((1, False), (1, True), (2, False), (2, True)):
            if even(0, 1) < 0.25:
                width = int(even(1, 0.12 * side_px))
                picture.narrow(axis, side_px - width if far else 0, width).fill_(grey)
        marred.append(picture)
    return torch.stack(marred)


def fields_of(network: GateNetwork, radiographs: Sequence[NDArray[np.float32]], kind: str = "upright") -> Tensor:
    """(N, channels, grid, grid) of radiographs as in service, each turned or inverted to be of that kind."""
    with torch.inference_mode():
        return torch.cat(
            [
                network.fields(torch.stack([shown(squashed(one, SIDE, SIDE), kind) for one in chunk]))
                for chunk in _chunks(radiographs)
            ]
        )


def made(films: Sequence[Frontal], name: str, count: int, seed: int) -> list[NDArray[np.float32]]:
    """`count` pictures of one maker, unmarred."""
    generator = np.random.default_rng(seed)
    return [MAKERS[name](generator, lambda: _drawn(films, generator)) for _ in range(count)]


def _picture(kind: int, films: Sequence[Frontal], generator: np.random.Generator) -> Tensor:
    if KINDS[kind] != "other":
        return squashed(_drawn(films, generator), SIDE, SIDE)
    maker = list(MAKERS.values())[generator.integers(len(MAKERS))]
    return squashed(np.ascontiguousarray(maker(generator, lambda: _drawn(films, generator))), SIDE, SIDE)


def _drawn(films: Sequence[Frontal], generator: np.random.Generator) -> NDArray[np.float32]:
    return films[int(generator.integers(len(films)))].radiograph


def _chunks(radiographs: Sequence[NDArray[np.float32]]) -> Iterator[Sequence[NDArray[np.float32]]]:
    return (radiographs[first : first + CHUNK] for first in range(0, len(radiographs), CHUNK))
