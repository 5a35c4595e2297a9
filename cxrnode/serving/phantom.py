"""A drawn chest film: body, lungs, ribs, spine and heart as smooth shapes; nobody's, and the same each time."""

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
RIBS = 10


def chest_film(side: int = 1024) -> NDArray[np.float32]:
    """(side, side) in [0, 1], air dark and bone bright: what the gate takes for an upright frontal chest film."""
    grid = (np.mgrid[0:side, 0:side] + 0.5) / side
    y, x = grid[0], grid[1] - 0.5
    aside = np.abs(x)  # from the middle line
    film = 0.74 * np.max([
        _blot(y, x, (0.7, 0.0), (0.75, 0.44), 4, 0.05),  # trunk
        _blot(y, x, (0.0, 0.0), (0.3, 0.14), 4, 0.05),  # neck
        _blot(y, x, (0.3, 0.0), (0.16, 0.55), 3, 0.05),  # shoulders
    ], axis=0)  # fmt: skip
    film -= 0.256 * _lungs(y, x) * (0.85 + 0.3 * y)
    film += 0.067 * _ribs(y, aside)
    collar = 0.245 - 0.22 * (aside - 0.04) + 0.5 * (aside - 0.15) ** 2
    film += 0.062 * _line(y - collar, 0.015) * ((aside > 0.03) & (aside < 0.34))
    film += 0.144 * _line(x, 0.05)  # spine
    film += 0.153 * _blot(y, x, (0.63, 0.05), (0.17, 0.14), 2, 0.12, tilt=0.6)  # heart
    film += 0.101 * _blot(y, x, (0.45, 0.01), (0.26, 0.075), 2, 0.2)  # mediastinum
    film += 0.12 * _rise((y - 0.8) * 25)  # belly
    film -= 0.1 * _line(x, 0.018) * _rise((0.36 - y) * 40)  # windpipe
    film += 0.06 * _blot(y, aside, (0.47, 0.09), (0.1, 0.06), 2, 0.4)  # hila
    return np.asarray(np.clip(film, 0, 1), dtype=np.float32)


def _lungs(y: Field, x: Field) -> Field:
    """Two, each down to the dome of its half of the diaphragm."""
    both = np.zeros_like(y)
    for side in (-1, 1):
        dome = (0.755 if side > 0 else 0.74) + 1.3 * (x - side * 0.16) ** 2
        lung = _blot(y, x, (0.5, side * 0.175), (0.36, 0.16), 2.2, 0.1, tilt=-side * 0.14)
        both += lung * _rise((dome - y) * 80)
    return both


def _ribs(y: Field, aside: Field) -> Field:
    cage = _blot(y, aside, (0.5, 0.21), (0.42, 0.19), 2.5, 0.06)
    out = aside - 0.06
    arch = 0.396 * out - 0.05 * np.sin(np.pi * np.clip(out / 0.32, 0, 1))
    return cage * sum(_line(y - (0.191 + 0.068 * rib) - arch, 0.015) for rib in range(RIBS))


def _blot(
    y: Field,
    x: Field,
    middle: tuple[float, float],
    half: tuple[float, float],
    power: float,
    edge: float,
    *,
    tilt: float = 0.0,
) -> Field:
    """1 within a superellipse of these half axes (rows, columns), 0 outside, over a soft edge."""
    down, right = y - middle[0], x - middle[1]
    along = (right * np.cos(tilt) + down * np.sin(tilt)) / half[1]
    across = (down * np.cos(tilt) - right * np.sin(tilt)) / half[0]
    return _rise((1 - np.abs(along) ** power - np.abs(across) ** power) / edge)


def _line(distance: Field, width: float) -> Field:
    return np.asarray(np.exp(-((distance / width) ** 2)))


def _rise(at: Field) -> Field:
    """The logistic function: from 0 to 1 about 0."""
    return np.asarray(1 / (1 + np.exp(-np.clip(at, -50, 50))))
