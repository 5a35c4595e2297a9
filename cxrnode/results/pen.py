"""A pen that writes and draws in nominal units, so that a banner looks alike at every width."""

import re
from functools import lru_cache
from importlib import resources
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cxrnode.results.heat import FLOOR, colours
from cxrnode.settings.language import Words

Colour = tuple[int, int, int]
Corners = tuple[float, float, float, float]
NOMINAL = 1000
"""The width of every canvas in the pen's units."""
JAPANESE, CLOSING = r"\u3000-\u9fff\uff00-\uffef", r"\u3001\u3002\uff09\uff1a"
PIECES = re.compile(f" *(?:[{JAPANESE}][{CLOSING}]*|[^ {JAPANESE}]+)")
"""What a line may be broken between: words, and Japanese characters, but none before a mark that closes."""
SHRINK = 0.97


class Pen:
    """Draws on a canvas of any width, NOMINAL units wide; `height` is the canvas's in these units."""

    def __init__(self, canvas: Image.Image, words: Words) -> None:
        self.canvas = canvas
        self.scale = canvas.width / NOMINAL
        self.height = canvas.height / self.scale
        self.drawing = ImageDraw.Draw(canvas)
        self._files = {False: words.regular, True: words.bold}

    def text(
        self, at: tuple[float, float], line: str, size: float, colour: Colour, *, bold: bool = False, margin: float = 9
    ) -> None:
        """Write from `at`, at the line's left end and half its capitals' height; smaller when it would not fit."""
        file, high = self._files[bold], self.fitted(line, size, NOMINAL - margin - at[0], bold=bold) * self.scale
        self.put((at[0] * self.scale, at[1] * self.scale - capital(file, high) / 2), line, file, high, colour)

    def put(self, at: tuple[float, float], line: str, file: str, high: float, colour: Colour) -> None:
        """Write in pixels, from the left end of the line's baseline."""
        x, y = at
        mask, (left, top) = written(file, high, line, x % 1, y % 1)
        self.drawing.draw.draw_bitmap((int(x) + left, int(y) + top), mask, self.drawing.draw.draw_ink(colour))

    def fitted(self, line: str, size: float, room: float, *, bold: bool = False) -> float:
        """The size, `size` at the most, at which the line is no longer than `room`."""
        while self.length(line, size, bold=bold) > room and size > 1:
            size *= SHRINK
        return size

    def length(self, line: str, size: float, *, bold: bool = False) -> float:
        """How long the line is."""
        return long(self._files[bold], size * self.scale, line) / self.scale

    def box(self, corners: Corners, *, fill: Colour, outline: Colour) -> None:
        """A filled rectangle."""
        self.drawing.rectangle(self._pixels(corners), fill=fill, outline=outline, width=max(1, round(3 * self.scale)))

    def stroke(self, corners: Corners, colour: Colour) -> None:
        """A line."""
        self.drawing.line(self._pixels(corners), fill=colour, width=max(2, round(4 * self.scale)))

    def ramp(self, corners: Corners) -> None:
        """The heat's colours from the weakest that is drawn to the strongest."""
        left, top, right, bottom = self._pixels(corners)
        strip = colours(np.linspace(FLOOR, 1.0, right - left, dtype=np.float32)).astype(np.uint8)
        self.canvas.paste(Image.fromarray(np.repeat(strip[None], bottom - top, axis=0)), (left, top))

    def _pixels(self, corners: Corners) -> tuple[int, int, int, int]:
        left, top, right, bottom = (round(corner * self.scale) for corner in corners)
        return left, top, right, bottom


@lru_cache(maxsize=256)
def wrapped(sentence: str, file: str, size: float, room: float) -> tuple[str, ...]:
    """The sentence in lines no longer than `room` in this font, but for a single word that is."""
    lines = [""]
    for piece in PIECES.findall(sentence):
        longer = f"{lines[-1]}{piece}"
        if long(file, size, longer) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(piece.lstrip())
    return tuple(line.strip() for line in lines)


@lru_cache(maxsize=256)
def written(file: str, size: float, line: str, right: float, down: float) -> tuple[Any, tuple[int, int]]:
    """What a line covers from its left end on its baseline, those fractions of a pixel on, and where that lies."""
    return font(file, size).getmask2(line, "L", anchor="ls", start=(right, down), stroke_filled=True)


@lru_cache(maxsize=1024)
def long(file: str, size: float, line: str) -> float:
    """How many pixels a line is long."""
    return font(file, size).getlength(line)


@lru_cache(maxsize=64)
def capital(file: str, size: float) -> float:
    """The top of a capital, from the baseline: less than nothing."""
    return font(file, size).getbbox("H", anchor="ls")[1]


@lru_cache(maxsize=64)
def font(file: str, size: float) -> ImageFont.FreeTypeFont:
    """A font of this package, `size` pixels high."""
    content = (resources.files("cxrnode.results") / "fonts" / file).read_bytes()
    return ImageFont.truetype(BytesIO(content), max(size, 1.0), layout_engine=ImageFont.Layout.BASIC)
