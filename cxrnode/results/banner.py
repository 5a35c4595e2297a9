"""The solid banners above and below the picture: verdict, figures, legend, warnings and what the result is not for."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cxrnode.finding import Algorithm, Outcome, Reading
from cxrnode.results.heat import CONTOUR_COLOUR, FLOOR, colours
from cxrnode.results.words import NOTICE, OUTCOMES, figures, percent, plain

Colour = tuple[int, int, int]
Point = tuple[float, float]
INK, PAPER, AMBER, BLACK = (235, 238, 242), (18, 22, 30), (255, 176, 0), (0, 0, 0)
NOMINAL = 1000
"""Sizes below are for a banner this wide and grow with it, so that a thumbnail shows what the full size shows."""
MARGIN, TOP, SMALL, LINE, LEGEND, NOTICE_HEIGHT = 18, 108, 25, 33, 44, 62
MOST_WARNING_LINES = 6


@dataclass(frozen=True)
class Banner:
    """What stands above and below the picture; `top` and `bottom` are heights at the nominal width."""

    reading: Reading
    algorithm: Algorithm
    lines: tuple[tuple[str, Colour], ...]
    shown: bool = True
    """whether a positive's heat is drawn"""

    @property
    def top(self) -> int:
        """Height above the picture, verdict and figures."""
        return TOP

    @property
    def bottom(self) -> int:
        """Height below the picture: legend, lines, notice."""
        return LEGEND + LINE * len(self.lines) + MARGIN // 2 + NOTICE_HEIGHT

    def draw(self, canvas: Image.Image) -> None:
        """Write on the canvas's first and last rows."""
        pen = Pen(canvas)
        self._draw_top(pen)
        self._draw_bottom(pen)

    def _draw_top(self, pen: "Pen") -> None:
        positive = self.reading.outcome is Outcome.POSITIVE
        word = OUTCOMES[self.reading.outcome]
        box = (MARGIN, MARGIN, MARGIN + pen.length(word, 66, bold=True) + 48, TOP - MARGIN)
        pen.box(box, fill=AMBER if positive else PAPER, outline=AMBER if positive else INK)
        pen.text((MARGIN + 24, TOP / 2), word, 66, BLACK if positive else INK, bold=True)
        probability, operating_point = self._figures()
        left = box[2] + 26
        pen.text((left, TOP * 0.33), f"probability {probability}", 38, INK, bold=True)
        pen.text((left, TOP * 0.71), f"pneumonia; operating point {operating_point}", 26, INK)

    def _figures(self) -> tuple[str, str]:
        probability = self.reading.finding.probability if self.reading.finding else 0.0
        return figures(probability, self.algorithm.operating_point)

    def _draw_bottom(self, pen: "Pen") -> None:
        y = pen.height - self.bottom
        self._draw_legend(pen, y)
        y += LEGEND
        for line, colour in self.lines:
            pen.text((MARGIN, y + LINE / 2), line, SMALL, colour)
            y += LINE
        pen.box((0, pen.height - NOTICE_HEIGHT, NOMINAL, pen.height), fill=INK, outline=INK)
        size = 40
        x = (NOMINAL - pen.length(NOTICE, size, bold=True)) / 2
        pen.text((x, pen.height - NOTICE_HEIGHT / 2), NOTICE, size, BLACK, bold=True)

    def _draw_legend(self, pen: "Pen", y: float) -> None:
        finding = self.reading.finding
        if finding is None or self.reading.outcome is not Outcome.POSITIVE:
            pen.text((MARGIN, y + LEGEND / 2), "No heat map: the probability is below the operating point.", SMALL, INK)
        elif not self.shown:
            pen.text((MARGIN, y + LEGEND / 2), "No heat map is shown.", SMALL, INK)
        elif not finding.heatmap.values.any():
            pen.text((MARGIN, y + LEGEND / 2), "No heat map: the model's map is empty.", SMALL, INK)
        else:
            middle = y + LEGEND / 2 + 2
            pen.ramp((MARGIN, y + 12, MARGIN + 150, y + LEGEND - 8))
            pen.text((MARGIN + 162, middle), "where the model looked, weak to strong", SMALL, INK)
            pen.line((MARGIN + 700, middle, MARGIN + 745, middle))
            pen.text((MARGIN + 757, middle), "half maximum", SMALL, INK)


def banner_for(reading: Reading, algorithm: Algorithm, *, shown: bool = True) -> Banner:
    """The banner of one reading; a line that is too long is broken, and the report has what does not fit."""
    low, high = algorithm.age_years
    model = (
        f"{algorithm.name} {algorithm.version}; trained on ages {low} to {high} years; "
        f"the probability holds at {percent(algorithm.prevalence)} prevalence, "
        f"{'as in training' if algorithm.card_prevalence is None else 'as this site has set'}"
    )
    warnings = [line for warning in reading.warnings for line in wrapped(f"Warning: {plain(warning)}")]
    if len(warnings) > MOST_WARNING_LINES:
        warnings[MOST_WARNING_LINES - 1 :] = ["Warning: there are more; see the report."]
    if reading.finding is not None and reading.reason:
        warnings = wrapped(reading.reason) + warnings
    lines = [(line, AMBER) for line in warnings] + [(line, INK) for line in wrapped(plain(model))]
    return Banner(reading, algorithm, tuple(lines), shown)


def wrapped(sentence: str) -> list[str]:
    """The sentence in lines that fit the nominal width."""
    lines = [""]
    for word in sentence.split():
        longer = f"{lines[-1]} {word}".strip()
        if font(SMALL, bold=False).getlength(longer) <= NOMINAL - 2 * MARGIN - 20 or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


class Pen:
    """Draws in nominal units on a canvas of any width."""

    def __init__(self, canvas: Image.Image) -> None:
        self.canvas = canvas
        self.scale = canvas.width / NOMINAL
        self.height = canvas.height / self.scale
        self.drawing = ImageDraw.Draw(canvas)

    def text(self, at: Point, words: str, size: int, colour: Colour, *, bold: bool = False) -> None:
        """Write `words` from `at`, a point at their left end and half their height; smaller when they would not fit."""
        room = NOMINAL - MARGIN / 2 - at[0]
        while self.length(words, size, bold=bold) > room and size > 1:
            size -= 1
        at = (at[0] * self.scale, at[1] * self.scale)
        self.drawing.text(at, words, fill=colour, font=font(round(size * self.scale), bold=bold), anchor="lm")

    def length(self, words: str, size: int, *, bold: bool = False) -> float:
        """How long `words` are."""
        return font(round(size * self.scale), bold=bold).getlength(words) / self.scale

    def box(self, corners: tuple[float, float, float, float], *, fill: Colour, outline: Colour) -> None:
        """A filled rectangle."""
        self.drawing.rectangle(self._pixels(corners), fill=fill, outline=outline, width=max(1, round(3 * self.scale)))

    def line(self, ends: tuple[float, float, float, float]) -> None:
        """A stroke in the contour's colour."""
        red, green, blue = (int(channel) for channel in CONTOUR_COLOUR)
        self.drawing.line(self._pixels(ends), fill=(red, green, blue), width=max(2, round(4 * self.scale)))

    def ramp(self, corners: tuple[float, float, float, float]) -> None:
        """The heat's colours from the weakest that is drawn to the strongest."""
        left, top, right, bottom = self._pixels(corners)
        strip = colours(np.linspace(FLOOR, 1.0, right - left, dtype=np.float32)).astype(np.uint8)
        self.canvas.paste(Image.fromarray(np.repeat(strip[None], bottom - top, axis=0)), (left, top))

    def _pixels(self, corners: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
        left, top, right, bottom = (round(corner * self.scale) for corner in corners)
        return left, top, right, bottom


@cache
def font(size: int, *, bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, as it lies in this package, `size` pixels high."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    content = (resources.files("cxrnode.results") / "fonts" / name).read_bytes()
    return ImageFont.truetype(BytesIO(content), max(size, 6), layout_engine=ImageFont.Layout.BASIC)
