"""A comparison as one page that opens offline: figures, charts, and the pictures of the largest disagreements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from cxrnode import __version__
from cxrnode.compare.agreement import logit
from cxrnode.compare.charts import against_mean, roc, scatter
from cxrnode.compare.figures import Figures, Judged
from cxrnode.compare.images import OUTCOMES, Images, Read
from cxrnode.compare.pictures import Picture, Shown
from cxrnode.compare.roc import curve
from cxrnode.compare.truth import Truth
from cxrnode.render import comparison_html
from cxrnode.whole import written_whole

MOST_FLIPS = 200
"""So many rows of flips are on the page; the rest is in the CSV."""
UNKNOWN = "not in the ledger"


@dataclass(frozen=True)
class Said:
    """What one model said of one image."""

    outcome: str
    probability: float


@dataclass(frozen=True)
class Case:
    """One image as the page tells of it; `uids` are its study's and its own, none where nobody asked for them."""

    study: str
    number: int
    """among the images of its study that are compared"""
    of: int
    a: Said
    b: Said
    apart: float
    label: bool | None
    uids: tuple[str, ...]
    pictures: tuple[tuple[Picture, str, str], ...] = ()
    """each with the words that stand for it, and its caption"""


@dataclass(frozen=True)
class Model:
    """One of the two as the page tells of it."""

    name: str
    models: tuple[str, ...]
    digests: tuple[str, ...]
    points: tuple[str, ...]
    prevalences: tuple[str, ...]
    when: str


@dataclass(frozen=True)
class Comparison:
    """All that is told of two models: the names that were asked for, and what came of it."""

    names: tuple[str, str]
    images: Images
    truth: Truth | None
    figures: Figures


def write_page(path: Path, told: Comparison, shown: Sequence[Shown], now: datetime, *, with_uids: bool) -> None:
    """Write the page; `shown` are its pictures, in their order."""
    images = told.images
    flipped = np.flatnonzero(images.flipped)
    order = np.argsort(-np.abs(images.logit_difference[flipped]), kind="stable")
    page = comparison_html(
        a=_model(told.names[0], images.a),
        b=_model(told.names[1], images.b),
        made_at=f"{now:%Y-%m-%d %H:%M}",
        version=__version__,
        figures=told.figures,
        shift=_shift(images),
        charts=_charts(told),
        cases=[_case(told, one.place, with_uids=with_uids, shown=one) for one in shown],
        flips=[_case(told, place, with_uids=with_uids) for place in flipped[order][:MOST_FLIPS].tolist()],
        holds_films=any(picture.uri for one in shown for picture in (one.film, one.a, one.b)),
        flips_left_out=max(0, len(flipped) - MOST_FLIPS),
        rows_file="images.csv",
        with_uids=with_uids,
    )
    with written_whole(path) as file:
        file.write(page)


def _model(name: str, read: Read) -> Model:
    points = {card.operating_point for card in read.cards}
    prevalences = {card.prevalence for card in read.cards}
    first, last = read.first_at, read.last_at
    return Model(
        name=name,
        models=tuple(sorted({card.model for card in read.cards})),
        digests=tuple(sorted({card.digest or UNKNOWN for card in read.cards})),
        points=tuple(sorted(UNKNOWN if one is None else f"{one:.4g}" for one in points)),
        prevalences=tuple(sorted(UNKNOWN if one is None else f"{100 * one:.3g} %" for one in prevalences)),
        when=f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}" if first and last else "",
    )


def _shift(images: Images) -> float | None:
    """How far B's logits lie above A's because of their prevalences alone; None where that is nothing, or not known."""
    a, b = images.a.the("prevalence"), images.b.the("prevalence")
    if a is None or b is None or a == b:
        return None
    return float(np.diff(logit(np.array([a, b])))[0])


def _charts(told: Comparison) -> dict[str, str]:
    images, both = told.images, told.images.analysed_by_both
    if told.figures.agreed is None:
        return {}
    a, b = images.a.probability[both], images.b.probability[both]
    called = images.a.positive[both], images.b.positive[both]
    points = images.a.the("operating_point"), images.b.the("operating_point")
    return {
        "scatter": scatter(a, b, called, points),
        "against_mean": against_mean(a, b, called, told.figures.agreed.logit),
        "roc": _roc(told),
    }


def _roc(told: Comparison) -> str:
    """Empty without labels, or where one of the classes is absent."""
    labelled, truth, images = told.figures.labelled, told.truth, told.images
    if labelled is None or truth is None or labelled.roc is None:
        return ""
    known = images.analysed_by_both & truth.known
    true = truth.positive[known]
    curves = [curve(read.probability[known], true) for read in (images.a, images.b)]
    return roc(curves, [_here(labelled.a), _here(labelled.b)])


def _here(judged: Judged) -> tuple[float, float] | None:
    hits, spared = judged.sensitivity.value, judged.specificity.value
    return None if hits is None or spared is None else (1 - spared, hits)


def _case(told: Comparison, place: int, *, with_uids: bool, shown: Shown | None = None) -> Case:
    images, truth = told.images, told.truth
    study = int(images.study[place])
    first, behind = np.searchsorted(images.study, [study, study + 1]).tolist()
    key, number = images.study_keys[study].decode(), place - first + 1
    return Case(
        study=key,
        number=number,
        of=behind - first,
        a=_said(images.a, place),
        b=_said(images.b, place),
        apart=float(images.logit_difference[place]),
        label=bool(truth.positive[place]) if truth is not None and truth.known[place] else None,
        uids=(images.study_uids[study].decode(), images.uids[place].decode()) if with_uids else (),
        pictures=_pictures(shown, f"study {key[:8]}, image {number}") if shown else (),
    )


def _said(read: Read, place: int) -> Said:
    return Said(str(OUTCOMES[read.outcome[place]]), float(read.probability[place]))


def _pictures(shown: Shown, name: str) -> tuple[tuple[Picture, str, str], ...]:
    return (
        (shown.film, f"Film of {name}", "Film"),
        (shown.a, f"Overlay by A of {name}: where the model looked", "Overlay by A"),
        (shown.b, f"Overlay by B of {name}: where the model looked", "Overlay by B"),
    )
