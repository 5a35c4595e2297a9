"""The solid banners above and below the picture: verdict, figures, legend, warnings and what the result is not for."""

from dataclasses import dataclass

from PIL import Image

from cxrnode.finding import Algorithm, Outcome, Reading
from cxrnode.results.pen import NOMINAL, Colour, Pen, wrapped
from cxrnode.results.tracking import COLOUR
from cxrnode.results.words import NOTICE, figures, percent, plain
from cxrnode.settings.language import Words

INK, PAPER, AMBER, BLACK = (235, 238, 242), (18, 22, 30), (255, 176, 0), (0, 0, 0)
MARGIN, TOP, SMALL, LINE, LEGEND, NOTICE_LINE = 18, 108, 25, 33, 44, 56
"""In the pen's units, as all that follows."""
RAMP, STROKE, GAP = 150, 45, 12
"""The lengths of the legend's samples, and between a sample and its words."""
MOST_WARNING_LINES = 6


@dataclass(frozen=True)
class Banner:
    """What stands above and below the picture; `top` and `bottom` are heights at the nominal width."""

    reading: Reading
    algorithm: Algorithm
    words: Words
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
        return LEGEND + LINE * len(self.lines) + MARGIN // 2 + self._notice

    @property
    def notices(self) -> tuple[str, ...]:
        """What the result is not for, in the reader's language and always in English."""
        return tuple(dict.fromkeys((self.words.notice, NOTICE)))

    @property
    def _notice(self) -> int:
        return NOTICE_LINE * len(self.notices) + 6

    def draw(self, canvas: Image.Image) -> None:
        """Write on the canvas's first and last rows."""
        pen = Pen(canvas, self.words)
        self._draw_top(pen)
        self._draw_legend(pen, pen.height - self.bottom)
        self._draw_lines(pen, pen.height - self.bottom + LEGEND)
        self._draw_notices(pen, pen.height - self._notice)

    def _draw_top(self, pen: Pen) -> None:
        positive = self.reading.outcome is Outcome.POSITIVE
        verdict = self.words.positive if positive else self.words.negative
        box = (MARGIN, MARGIN, MARGIN + pen.length(verdict, 66, bold=True) + 48, TOP - MARGIN)
        pen.box(box, fill=AMBER if positive else PAPER, outline=AMBER if positive else INK)
        pen.text((MARGIN + 24, TOP / 2), verdict, 66, BLACK if positive else INK, bold=True)
        finding = self.reading.finding
        probability, point = figures(finding.probability if finding else 0.0, self.algorithm.operating_point)
        left = box[2] + 26
        pen.text((left, TOP * 0.33), self.words.probability.format(probability=probability), 38, INK, bold=True)
        pen.text((left, TOP * 0.71), self.words.operating_point.format(operating_point=point), 26, INK)

    def _draw_legend(self, pen: Pen, y: float) -> None:
        middle = y + LEGEND / 2 + 2
        if absent := self._no_heat():
            pen.text((MARGIN, middle), absent, SMALL, INK)
            return
        both = f"{self.words.looked}{self.words.half}"
        size = pen.fitted(both, SMALL, NOMINAL - 2 * MARGIN - RAMP - STROKE - 5 * GAP)
        x: float = MARGIN
        pen.ramp((x, y + 12, x + RAMP, y + LEGEND - 8))
        x += RAMP + GAP
        pen.text((x, middle), self.words.looked, size, INK)
        if not self.reading.regions:
            return
        x += pen.length(self.words.looked, size) + 3 * GAP
        pen.stroke((x, middle, x + STROKE, middle), COLOUR)
        pen.text((x + STROKE + GAP, middle), self.words.half, size, INK)

    def _no_heat(self) -> str:
        """Why no heat is drawn, empty when it is."""
        finding = self.reading.finding
        if finding is None or self.reading.outcome is not Outcome.POSITIVE:
            return self.words.below
        if not self.shown:
            return self.words.hidden
        return "" if finding.heatmap.values.any() else self.words.empty

    def _draw_lines(self, pen: Pen, y: float) -> None:
        for line, colour in self.lines:
            pen.text((MARGIN, y + LINE / 2), line, SMALL, colour)
            y += LINE

    def _draw_notices(self, pen: Pen, y: float) -> None:
        pen.box((0, y, NOMINAL, pen.height), fill=INK, outline=INK)
        for number, notice in enumerate(self.notices):
            size = pen.fitted(notice, 40, NOMINAL - 2 * MARGIN, bold=True)
            x = (NOMINAL - pen.length(notice, size, bold=True)) / 2
            pen.text((x, y + 3 + NOTICE_LINE * (number + 0.5)), notice, size, BLACK, bold=True)


def banner_for(reading: Reading, algorithm: Algorithm, words: Words, *, shown: bool = True) -> Banner:
    """The banner of one reading; a line that is too long is broken, and the report has what does not fit."""
    low, high = algorithm.age_years
    model = words.model.format(name=plain(algorithm.name), version=plain(algorithm.version), low=low, high=high)
    whose = words.card if algorithm.card_prevalence is None else words.site
    warnings = [
        line for warning in reading.warnings for line in _lines(words.warning.format(sentence=plain(warning)), words)
    ]
    if len(warnings) > MOST_WARNING_LINES:
        warnings[MOST_WARNING_LINES - 1 :] = [words.more]
    if reading.finding is not None and reading.reason:
        warnings = [*_lines(plain(reading.reason), words), *warnings]
    figured = _lines(f"{model} {whose.format(prevalence=percent(algorithm.prevalence))}", words)
    lines = [(line, AMBER) for line in warnings] + [(line, INK) for line in figured]
    return Banner(reading, algorithm, words, tuple(lines), shown)


def _lines(sentence: str, words: Words) -> tuple[str, ...]:
    return wrapped(sentence, words.regular, SMALL, NOMINAL - 2 * MARGIN - 20)
