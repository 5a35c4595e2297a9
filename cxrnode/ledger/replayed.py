"""The rounds that a replay began: whose they are, which model reads them, and whether anything of them is sent.

A replay's is what it has fetched itself, or has had sent by C-MOVE, however late the ledger learns of it; all else that
arrives is live, also while a replay fetches the same study. A round that a replay began waits for it to be closed, and
is given up to the live service when something live arrives of the study, or when the replay has ended.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, select, update

from cxrnode import receipt as receipts
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.replays import SHADOW
from cxrnode.ledger.replaytables import planned, replayed, replays
from cxrnode.ledger.states import Lane
from cxrnode.ledger.tables import rounds
from cxrnode.receipt import Receipt


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


def owner(db: Connection, receipt: Receipt) -> Order | None:
    """Whose an instance is that arrived: the replay's that fetched it; None: nobody's, it is live.

    A sub-operation of our C-MOVE says so itself, and is of the replay that asked for the study last. Of an archive that
    leaves that out (PS3.7 9.1.1.1.8 lets it), what it sends of a study while that is asked of it.
    """
    joined = replays.join(planned, planned.c.replay_key == replays.c.key)
    asked = select(replays).select_from(joined).where(planned.c.study_instance_uid == receipt.study_instance_uid)
    at = datetime.fromisoformat(receipt.received_at)
    match receipt.fetched:
        case "":
            held = (planned.c.held_since <= at, planned.c.held_until > at)
            found = asked.where(planned.c.sender == receipt.calling_ae, planned.c.sender != "", *held)
        case receipts.MOVED:
            found = asked.where(planned.c.sender != "").order_by(planned.c.held_since.desc())
        case replay:
            found = select(replays).where(replays.c.key == replay)
    row = db.execute(found).first()
    return Order(row.key, row.model, bool(row.send)) if row else None


def begin(db: Connection, round_key: str, order: Order) -> None:
    """Note that a round is a replay's."""
    values = {"replay_key": order.replay, "model": order.model, "send": int(order.send)}
    db.execute(insert(replayed).values(round_key=round_key, **values))


def to_live(db: Connection, round_key: str, lane: Lane) -> None:
    """Give an arriving round up to the live service, in this lane of it."""
    db.execute(delete(replayed).where(replayed.c.round_key == round_key))
    db.execute(update(rounds).where(rounds.c.key == round_key, rounds.c.lane != lane).values(lane=lane))


def hand_over(db: Connection, round_key: str, order: Order) -> None:
    """Give an arriving round that another replay has left to this one."""
    db.execute(delete(replayed).where(replayed.c.round_key == round_key))
    begin(db, round_key, order)


def holds(db: Connection, replay: str, study_instance_uid: str, now: datetime) -> bool:
    """Whether a replay is fetching a study, or was a moment ago."""
    mine = (planned.c.replay_key == replay, planned.c.study_instance_uid == study_instance_uid)
    return db.execute(select(planned.c.number).where(*mine, planned.c.held_until > now)).first() is not None


def of_replay(round_key: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a replay began the round with this key."""
    return exists().where(replayed.c.round_key == round_key)


def of_shadow(round_key: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether it is that of a shadow model, which nobody asked for."""
    mine = (replayed.c.round_key == round_key, replays.c.key == replayed.c.replay_key)
    return exists().where(*mine, replays.c.request.startswith(SHADOW))


def under_way(round_key: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a replay began it that has not come to its end."""
    mine = (replayed.c.round_key == round_key, replays.c.key == replayed.c.replay_key, replays.c.finished_at.is_(None))
    return exists().where(*mine)


def unsent(round_key: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether nothing is sent of it: no later round stands on its results, nor do they replace any."""
    return exists().where(replayed.c.round_key == round_key, replayed.c.send == 0)
