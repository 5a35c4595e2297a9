"""Shadow models: what was read live is read once more by another model, below everything live, and sent nowhere.

Such a round is one of a replay that sends nothing, and so in nobody's way: it is in no account, no later round stands
on it, and `cxrnode compare` has it. All of one model are of one replay, which is none that anybody began.
"""

from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from cxrnode.ledger import arrivals
from cxrnode.ledger.completions import Closing, Reason
from cxrnode.ledger.database import new_key
from cxrnode.ledger.replayed import Order
from cxrnode.ledger.replays import SHADOW
from cxrnode.ledger.replaytables import replayed, replays
from cxrnode.ledger.states import State
from cxrnode.ledger.tables import rounds
from cxrnode.plans.plan import Head, Origin
from cxrnode.uids import digest_of

CLOSING = Closing(Reason.SHADOW, None, 0)
MOST_WAITING = 1000
"""Studies that wait for one shadow model: one too slow is given no more, as what waits for it is not finished."""


def begin(db: Connection, study_key: str, model: str, now: datetime) -> bool:
    """Have a study read by a shadow model; False: too many wait for it, or more of it is arriving, to be read then."""
    order = Order(_replay(db, model, now), model, send=False)
    mine = (replayed.c.replay_key == order.replay, rounds.c.state == State.READY)
    waiting = select(rounds.c.key).join(replayed).where(*mine).limit(MOST_WAITING).subquery()
    if db.execute(select(func.count()).select_from(waiting)).scalar_one() >= MOST_WAITING:
        return False
    return arrivals.read_again(db, study_key, now, order, CLOSING) is not None


def _replay(db: Connection, model: str, now: datetime) -> str:
    """The key of the replay that all rounds of a shadow model are of, made at the first."""
    request = f"{SHADOW}{digest_of(model)}"[:64]
    found = db.execute(select(replays.c.key).where(replays.c.request == request)).scalar()
    if found is not None:
        return str(found)
    head = Head(origin=Origin.SPOOL, asked={"shadow": model}, made_at=now)
    values = {
        "key": new_key(),
        "request": request,
        "head": head.model_dump_json(),
        "model": model,
        "send": 0,
        "again": 0,
    }
    db.execute(insert(replays).values(made_at=now, loaded_at=now, finished_at=now, **values))
    return str(values["key"])
