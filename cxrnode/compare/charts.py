"""Charts as SVG for a page that needs no script: scatter, differences against means, ROC.

Their colours are the page's: they follow a dark screen and a printer, and A and B are told apart by place and form too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from cxrnode.compare.agreement import Calls, Differences, Numbers, logit

SIDE, LEFT, TOP, RIGHT, BOTTOM = 380, 66, 10, 24, 48
"""The square that is drawn in, and the margins around it, in the picture's units."""
CELL = 2
"""Points lie on a grid of so many units, so that a hundred thousand make no larger a page than a few thousand do."""
FEW = ((1, 0.6), (2, 0.75), (10, 1.0))
MANY = ((1, 0.25), (3, 0.4), (10, 0.6), (30, 0.8), (100, 1.0))
"""From so many points in one place on, how opaque it is: of few points, and of more than MOST_FEW."""
MOST_FEW = 3000
TICKS = (1e-6, 1e-5, 1e-4, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1 - 1e-4, 1 - 1e-5, 1 - 1e-6)
MIDDLE, MOST_TICKS = TICKS.index(0.5), 7


@dataclass(frozen=True)
class Scale:
    """An axis: where its values lie, from 0 to 1, and its ticks with their words."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def place(self, values: Numbers) -> Numbers:
        """Values -> shares of the axis."""
        return (values - self.low) / (self.high - self.low)


@dataclass(frozen=True, eq=False)
class Dots:
    """Points of one kind, in values of the two axes."""

    kind: str
    x: Numbers
    y: Numbers


def scatter(a: Numbers, b: Numbers, positive: tuple[Calls, Calls], points: tuple[float | None, float | None]) -> str:
    """B's probability against A's on logit axes, with both operating points; flips in colours of their own."""
    x, y = logit(a), logit(b)
    scale = logit_scale(x, y)
    called_a, called_b = positive
    dots = [
        Dots("alike", x[called_a == called_b], y[called_a == called_b]),
        Dots("a", x[called_a & ~called_b], y[called_a & ~called_b]),
        Dots("b", x[~called_a & called_b], y[~called_a & called_b]),
    ]
    at_a, at_b = (None if point is None else float(logit(np.array([point]))[0]) for point in points)
    lines = [_line(scale, scale, (scale.low, scale.low), (scale.high, scale.high), "guide")]
    if at_a is not None and scale.low < at_a < scale.high:
        lines.append(_line(scale, scale, (at_a, scale.low), (at_a, scale.high), "point"))
    if at_b is not None and scale.low < at_b < scale.high:
        lines.append(_line(scale, scale, (scale.low, at_b), (scale.high, at_b), "point"))
    words = ("probability by A (logit scale)", "probability by B (logit scale)")
    return _chart(f"Probability by B against probability by A of {len(a)} images", scale, scale, words, lines, dots)


def against_mean(a: Numbers, b: Numbers, positive: tuple[Calls, Calls], told: Differences) -> str:
    """The difference of the logits, B less A, against their mean, with the mean difference and the limits."""
    x, y = (logit(a) + logit(b)) / 2, logit(b) - logit(a)
    limits = [one for one in (told.mean.value, told.lower_limit, told.upper_limit) if one is not None]
    across, up = logit_scale(x, x), even_scale(float(min(y.min(), *limits)), float(max(y.max(), *limits)))
    called_a, called_b = positive
    dots = [
        Dots("alike", x[called_a == called_b], y[called_a == called_b]),
        Dots("a", x[called_a & ~called_b], y[called_a & ~called_b]),
        Dots("b", x[~called_a & called_b], y[~called_a & called_b]),
    ]
    lines = [_line(across, up, (across.low, 0.0), (across.high, 0.0), "guide")]
    for value, kind in zip(limits, ("mean", "point", "point"), strict=False):
        lines.append(_line(across, up, (across.low, value), (across.high, value), kind))
    words = ("mean of the two (logit scale, as probability)", "difference of the logits, B less A")
    return _chart(f"Difference of the logits against their mean, of {len(a)} images", across, up, words, lines, dots)


def roc(curves: Sequence[tuple[Numbers, Numbers]], here: Sequence[tuple[float, float] | None]) -> str:
    """Sensitivity against 1 - specificity, A and then B, each with the place where it calls positive."""
    scale = Scale(0.0, 1.0, tuple((tick, f"{tick:.1f}") for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)))
    lines = [_line(scale, scale, (0.0, 0.0), (1.0, 1.0), "guide")]
    for kind, (across, up), point in zip("ab", curves, here, strict=True):
        corners = dict.fromkeys(zip(*_placed(scale, scale, across, up), strict=True))
        lines.append(f'<polyline class="curve {kind}" points="{" ".join(f"{x:g},{y:g}" for x, y in corners)}"/>')
        if point is not None:
            (x,), (y,) = _placed(scale, scale, np.array([point[0]]), np.array([point[1]]))
            lines.append(f'<circle class="here {kind}" cx="{x:g}" cy="{y:g}" r="5"/>')
    words = ("1 - specificity (share of negatives called positive)", "sensitivity")
    return _chart("ROC curves of A and B", scale, scale, words, lines, [])


def logit_scale(x: Numbers, y: Numbers) -> Scale:
    """An axis in logits, as far as the values reach, its ticks written as probabilities."""
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    at = logit(np.array(TICKS))
    first = max(0, int(np.searchsorted(at, low, "right")) - 1)
    last = min(len(at) - 1, max(int(np.searchsorted(at, high, "left")), first + 1))
    step = 1 if last - first <= MOST_TICKS else 2
    ticks = tuple((float(at[i]), _probability(TICKS[i])) for i in range(first, last + 1) if (i - MIDDLE) % step == 0)
    return Scale(float(at[first]), float(at[last]), ticks)


def even_scale(low: float, high: float) -> Scale:
    """An axis with even ticks around its values and 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = 10.0 ** np.floor(np.log10(max(high - low, 1e-3)))
    step = next(step * one for one in (0.1, 0.2, 0.5, 1.0, 2.0) if (high - low) / (step * one) <= 8)
    first, last = int(np.floor(low / step)), int(np.ceil(high / step))
    last = max(last, first + 1)
    return Scale(first * step, last * step, tuple((n * step, f"{n * step:.4g}") for n in range(first, last + 1)))


def _probability(value: float) -> str:
    if value > 0.9995:
        return f"1-{_probability(1 - value)}"
    return f"{value:g}" if value >= 0.001 else f"{value:.0e}".replace("e-0", "e-")


def _placed(across: Scale, up: Scale, x: Numbers, y: Numbers) -> tuple[list[float], list[float]]:
    """Values -> units of the picture, to half a unit."""
    left, top = LEFT + across.place(x) * SIDE, TOP + (1 - up.place(y)) * SIDE
    return (np.rint(left * 2) / 2).tolist(), (np.rint(top * 2) / 2).tolist()


def _line(across: Scale, up: Scale, start: tuple[float, float], end: tuple[float, float], kind: str) -> str:
    x, y = _placed(across, up, np.array([start[0], end[0]]), np.array([start[1], end[1]]))
    return f'<line class="{kind}" x1="{x[0]:g}" y1="{y[0]:g}" x2="{x[1]:g}" y2="{y[1]:g}"/>'


def _chart(
    title: str, across: Scale, up: Scale, words: tuple[str, str], lines: Sequence[str], dots: Sequence[Dots]
) -> str:
    width, height = LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM
    middle, many = TOP + SIDE / 2, sum(len(one.x) for one in dots) > MOST_FEW
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}"/>',
        *_ticks(across, up),
        f'<text class="axis" x="{LEFT + SIDE / 2:g}" y="{height - 8}">{escape(words[0])}</text>',
        f'<text class="axis" transform="translate(14 {middle:g}) rotate(-90)">{escape(words[1])}</text>',
        *(path for one in dots for path in _paths(across, up, one, many=many)),
        *lines,
        "</svg>",
    ]
    return "".join(parts)


def _ticks(across: Scale, up: Scale) -> Iterator[str]:
    bottom = TOP + SIDE
    for value, word in across.ticks:
        x = LEFT + float(across.place(np.array([value]))[0]) * SIDE
        yield f'<line class="tick" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom + 4}"/>'
        yield f'<text class="below" x="{x:.1f}" y="{bottom + 20}">{word}</text>'
    for value, word in up.ticks:
        y = bottom - float(up.place(np.array([value]))[0]) * SIDE
        yield f'<line class="tick" x1="{LEFT - 4}" y1="{y:.1f}" x2="{LEFT + SIDE}" y2="{y:.1f}"/>'
        yield f'<text class="beside" x="{LEFT - 8}" y="{y + 4:.1f}">{word}</text>'


def _paths(across: Scale, up: Scale, dots: Dots, *, many: bool) -> Iterator[str]:
    """One path for each density: dots of no length, which a stroke makes round."""
    if not len(dots.x):
        return
    places = np.stack(_placed(across, up, dots.x, dots.y), axis=1)
    cells, counts = np.unique(np.rint(places / CELL).astype(np.int64) * CELL, axis=0, return_counts=True)
    densities, kind = (MANY, f"{dots.kind} many") if many else (FEW, dots.kind)
    for (least, opacity), most in zip(densities, [*(one for one, _ in densities[1:]), np.inf], strict=True):
        chosen = cells[(counts >= least) & (counts < most)]
        if len(chosen):
            path = "".join(f"M{x} {y}h0" for x, y in chosen.tolist())
            yield f'<path class="dots {kind}" opacity="{opacity:g}" d="{path}"/>'
