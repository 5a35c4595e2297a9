"""Who the results of a round go back to, where a destination is whoever sent the study: noted once, then kept."""

from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from cxrnode.ledger.database import Ledger
from cxrnode.ledger.states import Kind
from cxrnode.ledger.tables import instances, returns, rounds


class Origin(NamedTuple):
    """Where images came from: an AE title and an address."""

    ae_title: str
    address: str


def origins(ledger: Ledger, round_key: str) -> list[Origin]:
    """Where the images of a round's study came from, each once, the first to send first."""
    with ledger.reading() as db:
        mine = select(rounds.c.study_key).where(rounds.c.key == round_key).scalar_subquery()
        found = db.execute(
            select(instances.c.calling_ae, instances.c.address)
            .where(instances.c.study_key == mine, instances.c.kind == Kind.SOURCE)
            .order_by(instances.c.received_at, instances.c.key)
        ).all()
        return list(dict.fromkeys(Origin(row.calling_ae, row.address) for row in found))


def note(ledger: Ledger, round_key: str, destination: str, origin: Origin) -> None:
    """The results of a round that are due at this destination go back there, whatever is sent from elsewhere later."""
    peer = f"{destination} {origin.ae_title}@{origin.address}"
    row = {"round_key": round_key, "destination": destination, "peer": peer, **origin._asdict()}
    with ledger.writing() as db:
        if _noted(db, round_key, destination) is None:
            db.execute(insert(returns).values(row))


def noted(ledger: Ledger, round_key: str, destination: str) -> Origin | None:
    """What was noted."""
    with ledger.reading() as db:
        return _noted(db, round_key, destination)


def _noted(db: Connection, round_key: str, destination: str) -> Origin | None:
    mine = (returns.c.round_key == round_key, returns.c.destination == destination)
    row = db.execute(select(returns).where(*mine)).first()
    return None if row is None else Origin(row.ae_title, row.address)
