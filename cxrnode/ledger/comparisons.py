"""What two models said of the same images: the latest reading of each image by either, one image at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from cxrnode.errors import SettingsError, Unknown
from cxrnode.family import Family
from cxrnode.finding import Outcome
from cxrnode.ledger.canaries import of_canary
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.purged import GONE
from cxrnode.ledger.tables import cards, gists, instances, objects, purges, readings, rounds, routings, studies

BATCH = 1000


@dataclass(frozen=True)
class Card:
    """What an image was read by: the model with its version, the card's digest, and where it calls positive.

    `digest` is empty and `operating_point` None of a round of before they were kept.
    """

    model: str
    digest: str
    operating_point: float | None
    prevalence: float | None


@dataclass(frozen=True)
class Seen:
    """One image's latest reading by one model."""

    round_key: str
    card: Card
    outcome: Outcome
    probability: float | None
    at: datetime


@dataclass(frozen=True)
class Pair:
    """One image that either model has read, or both have."""

    study_key: str
    instance_key: str
    study_instance_uid: str
    sop_instance_uid: str
    a: Seen | None
    b: Seen | None


@dataclass(frozen=True)
class Held:
    """What there is to see of one image: when it was purged, and the overlays of each of the rounds asked for.

    An overlay is the round whose results have it, and its file's name (`Spool.result`).
    """

    sop_instance_uid: str
    purged_at: datetime | None
    overlays: tuple[tuple[tuple[str, str], ...], ...]


def models_named(ledger: Ledger, a: str, b: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The models, as rounds have them, that two names ("name" or "name version") mean.

    Raises Unknown where nobody read with one of them, SettingsError where both names mean one.
    """
    with ledger.reading() as db:
        known = sorted(filter(None, db.execute(select(rounds.c.model).distinct()).scalars()))
    found = [tuple(one for one in known if name in (one, one.rpartition(" ")[0])) for name in (a, b)]
    for name, named in zip((a, b), found, strict=True):
        if not named:
            raise Unknown(
                f"no study was read by a model {name!r}; wanted one of: {', '.join(known) or 'none was read yet'}"
            )
    if shared := sorted(set(found[0]) & set(found[1])):
        raise SettingsError(f"{a!r} and {b!r} both mean {', '.join(shared)}; wanted two models, or two versions of one")
    return found[0], found[1]


def pairs(ledger: Ledger, a: Sequence[str], b: Sequence[str]) -> Iterator[Pair]:
    """Every image that a model of either list has read, by study; of each list the reading of the latest round."""
    stored = select(
        rounds.c.key, rounds.c.study_key, rounds.c.model, rounds.c.analysed_at,
        readings.c.instance_key, readings.c.outcome, readings.c.probability,
        cards.c.digest, cards.c.operating_point, routings.c.prevalence,
        instances.c.sop_instance_uid, studies.c.study_instance_uid,
    )  # fmt: skip
    joined = (
        rounds.join(readings, readings.c.round_key == rounds.c.key)
        .join(instances, instances.c.key == readings.c.instance_key)
        .join(studies, studies.c.key == rounds.c.study_key)
        .outerjoin(cards, cards.c.round_key == rounds.c.key)
        .outerjoin(routings, routings.c.round_key == rounds.c.key)
    )
    by_image = (rounds.c.study_key, instances.c.received_at, readings.c.instance_key, rounds.c.number)
    mine = (rounds.c.model.in_([*a, *b]), ~of_canary(rounds.c.study_key))
    wanted = stored.select_from(joined).where(*mine).order_by(*by_image)
    with ledger.reading() as db:
        rows = db.execute(wanted.execution_options(yield_per=BATCH))
        for (study_key, instance_key), group in groupby(rows, key=lambda row: (row.study_key, row.instance_key)):
            last = {row.model in a: row for row in group}  # the later round's takes the place of the earlier's
            one = next(iter(last.values()))
            uids = (one.study_instance_uid, one.sop_instance_uid)
            yield Pair(study_key, instance_key, *uids, _seen(last.get(True)), _seen(last.get(False)))


def held(ledger: Ledger, images: Sequence[tuple[str, tuple[str, ...]]]) -> list[Held]:
    """What there is to see of each of a few images, given its key and the keys of rounds that read it."""
    with ledger.reading() as db:
        found = []
        for instance_key, round_keys in images:
            known = select(instances.c.sop_instance_uid, purges.c.at).outerjoin(
                purges, and_(purges.c.instance_key == instances.c.key, GONE)
            )
            row = db.execute(known.where(instances.c.key == instance_key)).one()
            overlays = []
            for key in round_keys:
                drawn = select(objects.c.round_key, objects.c.file).where(
                    objects.c.round_key == _shown_by(db, key), objects.c.role == Family.OVERLAY
                )
                overlays.append(tuple((str(one.round_key), str(one.file)) for one in db.execute(drawn)))
            found.append(Held(row.sop_instance_uid, row.at, tuple(overlays)))
    return found


def _shown_by(db: Connection, round_key: str) -> str:
    """The round whose results show what this one read: itself, or the one that its own stand on, read by the same card.

    Results of another card stand as well where they say the same; they are no picture of this reading.
    """
    read_by = select(rounds.c.key, rounds.c.model, cards.c.digest).outerjoin(cards, cards.c.round_key == rounds.c.key)
    stands_on = db.execute(select(gists.c.stands_on).where(gists.c.round_key == round_key)).scalar()
    by = {
        row.key: (row.model, row.digest) for row in db.execute(read_by.where(rounds.c.key.in_([round_key, stands_on])))
    }
    return str(stands_on) if by.get(stands_on) == by[round_key] else round_key


def _seen(row: Row[*tuple[Any, ...]] | None) -> Seen | None:
    if row is None:
        return None
    card = Card(row.model, row.digest or "", row.operating_point, row.prevalence)
    return Seen(row.key, card, Outcome(row.outcome), row.probability, row.analysed_at)
