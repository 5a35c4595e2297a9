"""What is no frontal chest film, made from films and from nothing: nobody's hands and feet are at hand to learn from.

Each maker draws one picture, (rows, columns) float32 in [0, 1], from a random generator and a way to draw films.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Picture = NDArray[np.float32]
Draw = Callable[[], Picture]
Maker = Callable[[np.random.Generator, Draw], Picture]

SIDE = 192
"""pixels a side of what is made from nothing"""


def patch(generator: np.random.Generator, draw: Draw) -> Picture:
    """A small part of a film, a fifth to two fifths of its sides."""
    film = draw()
    rows, columns = (int(length * generator.uniform(0.2, 0.42)) for length in film.shape)
    return _cut(generator, film, rows, columns)


def half(generator: np.random.Generator, draw: Draw) -> Picture:
    """One lung, the apices or the belly: a third to a half of a film along one side of it."""
    film = np.rot90(draw(), int(generator.integers(4)))
    kept = int(film.shape[0] * generator.uniform(0.3, 0.45))
    return np.ascontiguousarray(np.rot90(film[:kept], int(generator.integers(4))))


def jigsaw(generator: np.random.Generator, draw: Draw) -> Picture:
    """A film cut into 4 to 16 tiles, each moved and turned."""
    count = int(generator.integers(2, 5))
    side = SIDE // count
    film = _resized(draw(), side * count, side * count)
    tiles = [
        film[row * side : (row + 1) * side, column * side : (column + 1) * side]
        for row in range(count)
        for column in range(count)
    ]
    turned = [np.rot90(tiles[index], int(generator.integers(4))) for index in generator.permutation(len(tiles))]
    return np.concatenate([np.concatenate(turned[row * count : (row + 1) * count], axis=1) for row in range(count)])


def collage(generator: np.random.Generator, draw: Draw) -> Picture:
    """Two films side by side or one above the other, or four of them."""
    films = [_resized(draw(), SIDE, SIDE) for _ in range(4)]
    kind = generator.integers(3)
    if kind < 2:
        return np.concatenate(films[:2], axis=int(kind))
    return np.concatenate([np.concatenate(films[:2], axis=1), np.concatenate(films[2:], axis=1)])


def limb(generator: np.random.Generator, _: Draw) -> Picture:
    """Bones with a dense cortex in soft tissue, one limb or several, some with fingers."""
    y, x = _grid()
    flesh, bone = np.zeros_like(x), np.zeros_like(x)
    main = generator.uniform(0, np.pi)
    for _bone in range(int(generator.integers(1, 8))):
        angle = main + generator.normal(0, 0.25)
        centre, length = generator.uniform(-0.6, 0.6, 2), generator.uniform(0.4, 2.0)
        width = generator.uniform(0.03, 0.16)
        along = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
        across = -(x - centre[0]) * np.sin(angle) + (y - centre[1]) * np.cos(angle)
        flare = width * (1 + 0.8 * np.minimum(np.abs(along) / length, 1.2) ** 4)
        radius = np.hypot(np.maximum(np.abs(along) - length, 0), across) / flare
        bone += np.where(radius < 1, 0.35 + 0.65 * radius**3, 0) * generator.uniform(0.5, 1)
        flesh = np.maximum(flesh, np.clip(1.6 - radius / generator.uniform(1.5, 4), 0, 1))
    ground = generator.choice([0.0, 0.0, 0.05, 1.0])
    seen = np.where(flesh > 0.02, 0.15 + 0.4 * flesh + 0.5 * bone, ground)
    return _finished(generator, seen)


def axial(generator: np.random.Generator, _: Draw) -> Picture:
    """A slice through a body: an oval with a bright rim, a spine and organs, dark or bright, on a dark ground."""
    y, x = _grid()
    size = generator.uniform(0.45, 0.95, 2)
    radius = np.hypot(x / size[0], y / size[1])
    seen = np.where(radius < 1, generator.uniform(0.3, 0.7), 0.0)
    seen = np.where((radius > generator.uniform(0.75, 0.95)) & (radius < 1), generator.uniform(0.1, 1), seen)
    for _organ in range(int(generator.integers(2, 9))):
        centre, spread = generator.uniform(-0.6, 0.6, 2) * size, generator.uniform(0.05, 0.45, 2) * size
        inside = np.hypot((x - centre[0]) / spread[0], (y - centre[1]) / spread[1]) < 1
        seen = np.where(inside & (radius < 1), generator.uniform(0, 1), seen)
    return _finished(generator, seen)


def lung_like(generator: np.random.Generator, _: Draw) -> Picture:
    """A phantom that a careless gate lets pass: a bright body with two dark blots and nothing else."""
    y, x = _grid()
    body = np.exp(-((x / generator.uniform(0.6, 1.0)) ** 4))
    gap, tall, wide = generator.uniform(0.3, 0.5), generator.uniform(0.35, 0.7), generator.uniform(0.15, 0.35)
    lungs = sum(np.exp(-((((x - at) / wide) ** 2 + ((y + 0.1) / tall) ** 2) ** 2)) for at in (-gap, gap))
    return _finished(generator, 0.8 * body - generator.uniform(0.3, 0.7) * lungs + 0.1)


def solids(generator: np.random.Generator, _: Draw) -> Picture:
    """Ovals, boxes and lines of any grey on a slanting ground: test patterns, screens, phantoms."""
    image = Image.fromarray(_slope(generator))
    pen = ImageDraw.Draw(image)
    for _shape in range(int(generator.integers(1, 25))):
        box = generator.uniform(-0.1, 1.1, (2, 2)) * SIDE
        corners = [*np.minimum(*box), *np.maximum(*box)]
        grey, kind = float(generator.uniform(0, 1)), generator.integers(3)
        if kind == 2:
            pen.line(corners, fill=grey, width=int(generator.integers(1, 9)))
        else:
            (pen.ellipse, pen.rectangle)[kind](corners, fill=grey)
    return _finished(generator, np.asarray(image))


def writing(generator: np.random.Generator, _: Draw) -> Picture:
    """Lines of something like writing, as on a dose sheet or a screen."""
    ground, ink = generator.choice([(0.0, 1.0), (1.0, 0.0), (0.2, 0.9)])
    image = Image.new("F", (SIDE, SIDE), float(ground))
    pen = ImageDraw.Draw(image)
    height = int(generator.integers(4, 14))
    for top in range(height, SIDE - height, int(height * generator.uniform(1.3, 3))):
        left = float(generator.uniform(4, 40))
        while left < SIDE * generator.uniform(0.5, 1):
            width = float(generator.uniform(1, height * 4))
            pen.rectangle((left, top, left + width, top + height * generator.uniform(0.5, 1)), fill=float(ink))
            left += width + float(generator.uniform(2, height))
    return _finished(generator, np.asarray(image))


def cloud(generator: np.random.Generator, _: Draw) -> Picture:
    """Noise whose power falls with frequency, from a fine grain to a few soft blots."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = 1 / SIDE
    spectrum = np.fft.rfft2(generator.normal(size=(SIDE, SIDE))) / frequency ** generator.uniform(0, 2.5)
    seen = np.fft.irfft2(spectrum, s=(SIDE, SIDE))
    low, high = np.percentile(seen, (1, 99))
    return _clipped((seen - low) / (high - low))


MAKERS: dict[str, Maker] = {
    "part of a film": patch,
    "half a film": half,
    "film in pieces": jigsaw,
    "several films": collage,
    "limb": limb,
    "slice": axial,
    "phantom": lung_like,
    "shapes": solids,
    "writing": writing,
    "texture": cloud,
}


def _grid() -> tuple[Picture, Picture]:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return y.astype(np.float32), x.astype(np.float32)


def _slope(generator: np.random.Generator) -> Picture:
    y, x = _grid()
    towards = generator.normal(0, 0.3, 2)
    return _clipped(generator.uniform(0, 1) + towards[0] * y + towards[1] * x)


def _cut(generator: np.random.Generator, film: Picture, rows: int, columns: int) -> Picture:
    top, left = (int(generator.integers(film.shape[axis] - size + 1)) for axis, size in enumerate((rows, columns)))
    return film[top : top + rows, left : left + columns]


def _resized(picture: Picture, rows: int, columns: int) -> Picture:
    return np.asarray(Image.fromarray(picture).resize((columns, rows), Image.Resampling.BILINEAR), dtype=np.float32)


def _finished(generator: np.random.Generator, seen: NDArray[np.floating]) -> Picture:
    """Softened, grained and unevenly lit, as a detector's image is; turned, and now and then inverted."""
    grey = Image.fromarray((np.clip(seen, 0, 1) * 255).astype(np.uint8))
    soft = np.asarray(grey.filter(ImageFilter.GaussianBlur(float(generator.uniform(0, 2)))), dtype=np.float32) / 255
    grain = generator.normal(0, generator.choice([0.0, 0.01, 0.04]), soft.shape)
    lit = soft * (0.7 + 0.3 * _slope(generator)) + grain
    turned = np.rot90(lit, int(generator.integers(4)))
    return _clipped(1 - turned if generator.random() < 0.3 else turned)


def _clipped(seen: NDArray[np.floating]) -> Picture:
    clipped: Picture = np.clip(seen, 0, 1).astype(np.float32)
    return clipped
