"""Mixes: how many images of each day and model had which probability, outcome, manufacturer and view; and references.

They are counted in the transaction that writes a live study's results, by day and card, and outlive the studies: what
is purged stays counted. A day has some dozens of rows for each model.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Integer, Row, Select, Table, delete, func, insert, select, update

from cxrnode.finding import Reference
from cxrnode.ledger.columns import String
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.tables import metadata
from cxrnode.stability import Aspect, Moved, index, most

mixes = Table(
    "mixes",
    metadata,
    Column("day", String(10), primary_key=True),  # UTC
    Column("digest", String(64), primary_key=True),  # of the card that read them
    Column("aspect", String(16), primary_key=True),
    Column("label", String(64), primary_key=True),
    Column("model", String(128), nullable=False),
    Column("images", Integer, nullable=False),
)
baselines = Table(  # a card's own reference, kept when the first image was read by it
    "baselines",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("aspect", String(16), primary_key=True),
    Column("label", String(64), primary_key=True),
    Column("images", Integer, nullable=False),
    Column("source", String(128), nullable=False),
)
Mix = Mapping[tuple[Aspect, str], int]
"""How many images there were of each label of each aspect."""
MOST_LABELS, OTHERS = 50, "others"
"""So many labels of one aspect are told apart on one day."""
FORGOTTEN = timedelta(days=30)
"""A model that read nothing for so long is not told of any more."""


@dataclass(frozen=True)
class Drift:
    """How far one aspect of what a model reads has moved: `index` is None until `images` are enough.

    `reference` names what it is held against and how many images that has, empty where there is none yet. `since` is
    the first day of those that are held against it.
    """

    model: str
    aspect: Aspect
    index: float | None
    images: int
    wanted: int
    since: str
    reference: str
    moved: Moved | None


def count(db: Connection, digest: str, model: str, mix: Mix, reference: Reference | None, now: datetime) -> None:
    """Add the images of one study, and keep the card's reference as it is now."""
    day = f"{now.astimezone(UTC):%Y-%m-%d}"
    for (aspect, label), images in mix.items():
        _add(db, {"day": day, "digest": digest, "aspect": aspect}, label[:64], images, model)
    if reference is not None:
        mine = baselines.c.digest == digest
        known = {(row.label, row.images, row.source) for row in db.execute(select(baselines).where(mine))}
        told = {(str(at), images, reference.source[:128]) for at, images in enumerate(reference.tenths)}
        if known != told:
            db.execute(delete(baselines).where(mine))
            its = {"digest": digest, "aspect": Aspect.PROBABILITY}
            rows = [its | {"label": label, "images": images, "source": source} for label, images, source in told]
            db.execute(insert(baselines), rows)


def drifts(ledger: Ledger, enough: int, now: datetime, anew: str = "") -> list[Drift]:
    """Every aspect of every model that has read of late, by its card; of routes' several by that which reads most.

    `enough` images make a reference where the card has none: those of the first days in service. As many, of the last
    days, are held against it. From the day `anew` on (ISO 8601) all begins again, without the card's.
    """
    since = f"{now.astimezone(UTC) - FORGOTTEN:%Y-%m-%d}"
    found = []
    with ledger.reading() as db:
        days = (func.min(mixes.c.day).label("first"), func.max(mixes.c.day).label("last"))
        which: Select[Any] = select(mixes.c.model, mixes.c.digest, *days, func.sum(mixes.c.images).label("images"))
        cards = db.execute(which.where(mixes.c.day >= since).group_by(mixes.c.model, mixes.c.digest)).all()
        for model in sorted({row.model for row in cards}):
            card = _in_service([row for row in cards if row.model == model])
            own = [] if anew else db.execute(select(baselines).where(baselines.c.digest == card.digest)).all()
            for aspect in Aspect:
                of_card = [row for row in own if row.aspect == aspect]
                found.append(_drift(_Days(db, card.digest, aspect, anew), model, of_card, enough))
    return found


def _in_service(cards: Sequence[Row[Any]]) -> Row[Any]:
    """The card of a model that reads most, but for those that another has replaced: it began when they ended."""
    there = [one for one in cards if not any(by.first >= one.last and by.last > one.last for by in cards)]
    return max(there, key=lambda one: (one.images, one.last))


def _add(db: Connection, of: dict[str, str], label: str, images: int, model: str) -> None:
    mine = [mixes.c[name] == value for name, value in of.items()]
    more = {"images": mixes.c.images + images}
    if db.execute(update(mixes).where(*mine, mixes.c.label == label).values(more)).rowcount:
        return
    labels = db.execute(select(func.count()).select_from(mixes).where(*mine)).scalar_one()
    if labels >= MOST_LABELS and label != OTHERS:
        _add(db, of, OTHERS, images, model)
        return
    db.execute(insert(mixes).values(label=label, images=images, model=model, **of))


class _Days:
    """How many images of one aspect a card has read on each day; what they were is asked of a few days alone."""

    def __init__(self, db: Connection, digest: str, aspect: Aspect, begin: str) -> None:
        self._db, self.aspect = db, aspect
        self._mine = (mixes.c.digest == digest, mixes.c.aspect == aspect, mixes.c.day >= begin)
        by_day = select(mixes.c.day, func.sum(mixes.c.images).label("images")).where(*self._mine)
        rows = db.execute(by_day.group_by(mixes.c.day).order_by(mixes.c.day))
        self.left = [(row.day, int(row.images)) for row in rows]

    def take(self, enough: int, *, latest: bool) -> list[str]:
        """The first, or latest, of the days that are left which have so many images together, or all of them."""
        taken: list[str] = []
        total = 0
        while self.left and total < enough:
            day, images = self.left.pop(-1 if latest else 0)
            taken.append(day)
            total += images
        return sorted(taken)

    def counts(self, days: Sequence[str]) -> "Counter[str]":
        """Their images by label; they follow one another."""
        if not days:
            return Counter()
        within = mixes.c.day.between(days[0], days[-1])
        rows = self._db.execute(select(mixes.c.label, mixes.c.images).where(*self._mine, within))
        counts: Counter[str] = Counter()
        for row in rows:
            counts[row.label] += row.images
        return counts


def _drift(days: _Days, model: str, own: Sequence[Row[Any]], enough: int) -> Drift:
    aspect = days.aspect
    if own:
        before = Counter({row.label: row.images for row in own})
        named = f"the card's {own[0].source}"
    else:
        first = days.take(enough, latest=False)
        before = days.counts(first)
        if before.total() < enough:
            return Drift(model, aspect, None, 0, enough, "", "", None)
        named = f"the first {before.total()} images in service, {first[0]} to {first[-1]}"
    window = days.take(enough, latest=True)
    now, since = days.counts(window), min(window, default="")
    if now.total() < enough:
        return Drift(model, aspect, None, now.total(), enough, since, named, None)
    return Drift(model, aspect, index(before, now), now.total(), enough, since, named, most(before, now))
