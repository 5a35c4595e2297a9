"""The rounds that a replay began: which model reads them, and whether anything of them is sent.

While a study is fetched, whatever arrives of it is the replay's, and the round waits for the replay to close it. What
arrives when nobody fetches it is live: a round that a replay left half fetched is given up to the live service then.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, select, update

from cxrnode.ledger.database import Ledger
from cxrnode.ledger.replaytables import planned, replayed, replays
from cxrnode.ledger.tables import Lane, rounds, studies


@dataclass(frozen=True)
class Order:
    """What a replay wants of its rounds: `model` empty is the one that the settings say."""

    replay: str
    model: str
    send: bool


def order_of(ledger: Ledger, round_key: str) -> Order | None:
    """What is wanted of a round; None where no replay began it."""
    with ledger.reading() as db:
        return ordered(db, round_key)


def ordered(db: Connection, round_key: str) -> Order | None:
    """The same within a transaction."""
    row = db.execute(select(replayed).where(replayed.c.round_key == round_key)).first()
    return Order(row.replay_key, row.model, bool(row.send)) if row else None


def fetching(db: Connection, study_key: str, at: datetime) -> Order | None:
    """What is wanted of a study that is held for a replay then; None where it is not."""
    joined = replays.join(planned, planned.c.replay_key == replays.c.key).join(
        studies, studies.c.study_instance_uid == planned.c.study_instance_uid
    )
    mine = (studies.c.key == study_key, planned.c.held_until > at)
    row = db.execute(select(replays).select_from(joined).where(*mine)).first()
    return Order(row.key, row.model, bool(row.send)) if row else None


def begin(db: Connection, round_key: str, order: Order) -> None:
    """Note that a round is a replay's."""
    values = {"replay_key": order.replay, "model": order.model, "send": int(order.send)}
    db.execute(insert(replayed).values(round_key=round_key, **values))


def to_live(db: Connection, round_key: str) -> None:
    """Give an arriving round up to the live service."""
    if db.execute(delete(replayed).where(replayed.c.round_key == round_key)).rowcount:
        db.execute(update(rounds).where(rounds.c.key == round_key).values(lane=Lane.LIVE))


def of_replay(round_key: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a replay began the round with this key."""
    return exists().where(replayed.c.round_key == round_key)


def unsent(round_key: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether nothing is sent of it: no later round stands on its results, nor do they replace any."""
    return exists().where(replayed.c.round_key == round_key, replayed.c.send == 0)
