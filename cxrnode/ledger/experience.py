"""What the node has learnt of its own work: how large images are, and how long a study is read."""

import json
from dataclasses import dataclass

from sqlalchemy import func, select

from cxrnode.finding import Outcome
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.states import Kind, State
from cxrnode.ledger.tables import instances, rounds

LAST = 200


@dataclass(frozen=True)
class Experience:
    """Means of the last 200: bytes an image, and seconds of one process a study that was read; None: nothing yet."""

    bytes_per_image: float | None
    seconds_per_study: float | None


def experience(ledger: Ledger) -> Experience:
    """What there is."""
    latest = select(instances.c.size).where(instances.c.kind == Kind.SOURCE).limit(LAST)
    read = (rounds.c.state == State.FINISHED, rounds.c.outcome.in_([Outcome.POSITIVE, Outcome.NEGATIVE]))
    with ledger.reading() as db:
        sizes = latest.order_by(instances.c.received_at.desc()).subquery()
        size = db.execute(select(func.avg(sizes.c.size))).scalar()
        told = select(rounds.c.stages_ms).where(*read).order_by(rounds.c.last_received_at.desc()).limit(LAST)
        took_ms = [sum(json.loads(one).values()) for one in db.execute(told).scalars()]
    return Experience(float(size) if size else None, sum(took_ms) / len(took_ms) / 1000 if took_ms else None)
