"""The replays there were and are: what each was asked for, whether its plan is loaded, it is paused or has ended."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from cxrnode.errors import Unknown
from cxrnode.ledger.database import Ledger, new_key
from cxrnode.ledger.replaytables import planned, replays
from cxrnode.plans.plan import Head

SHADOW = "shadow "
"""What the request of a shadow model's begins with, which nobody asked for."""


@dataclass(frozen=True)
class Replay:
    """One replay; `model` is empty where the settings say which reads."""

    key: str
    head: Head
    model: str
    send: bool
    again: bool
    made_at: datetime
    loaded_at: datetime | None
    paused_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class Request:
    """What a replay is asked for; the same `digest` is the same replay."""

    digest: str
    model: str
    send: bool
    again: bool


def unfinished(ledger: Ledger, request: Request) -> Replay | None:
    """The latest replay that was asked for with the same words and has not come to its end."""
    with ledger.reading() as db:
        return _unfinished(db, request)


def begin(ledger: Ledger, request: Request, head: Head, now: datetime) -> Replay:
    """A new replay, whose plan is still to be loaded, or the one of the same words that was begun and has not ended."""
    wanted = {"model": request.model, "send": int(request.send), "again": int(request.again)}
    values = {"key": new_key(), "request": request.digest, "head": head.model_dump_json(), "made_at": now} | wanted
    with ledger.writing() as db:
        if (earlier := _unfinished(db, request)) is not None:
            return earlier
        db.execute(insert(replays).values(**values))
        return _replay(db.execute(select(replays).where(replays.c.key == values["key"])).one())


def of_key(ledger: Ledger, replay: str) -> Replay:
    """How a replay stands now."""
    with ledger.reading() as db:
        return _replay(db.execute(select(replays).where(replays.c.key == replay)).one())


def clear(ledger: Ledger, replay: str, bite: int = 2000) -> None:
    """Forget what was loaded of a plan that was not loaded whole; in bites, so that no other writer waits long."""
    mine = planned.c.replay_key == replay
    first = select(planned.c.number).where(mine).order_by(planned.c.number).limit(bite)
    while True:
        with ledger.writing() as db:
            numbers = db.execute(first).scalars().all()
            if not numbers:
                return
            db.execute(delete(planned).where(mine, planned.c.number <= numbers[-1]))


def loaded(ledger: Ledger, replay: str, now: datetime) -> None:
    """Note that its plan is here, whole."""
    _note(ledger, replay, loaded_at=now)


def finished(ledger: Ledger, replay: str, now: datetime) -> None:
    """Note that each of its studies has a verdict."""
    _note(ledger, replay, finished_at=now)


def paused(ledger: Ledger, replay: str) -> bool:
    """Whether somebody has paused it."""
    with ledger.reading() as db:
        return db.execute(select(replays.c.paused_at).where(replays.c.key == replay)).scalar() is not None


def pause(ledger: Ledger, named: str | None, now: datetime | None) -> list[Replay]:
    """Pause a replay, by its key or how it begins, or all that are under way; None as `now` resumes. Raises Unknown."""
    with ledger.writing() as db:
        mine = select(replays).where(replays.c.finished_at.is_(None))
        if named is not None:
            mine = mine.where(func.substr(replays.c.key, 1, len(named)) == named)
        keys = [row.key for row in db.execute(mine)]
        if named is not None and len(keys) != 1:
            told = "several replays begin so" if keys else "no replay that is under way is called so"
            raise Unknown(f"{named!r}: {told}; `cxrnode replays` lists them")
        db.execute(update(replays).where(replays.c.key.in_(keys)).values(paused_at=now))
        return [_replay(row) for row in db.execute(select(replays).where(replays.c.key.in_(keys)))]


def listed(ledger: Ledger) -> list[Replay]:
    """Every replay that somebody began, the latest first."""
    asked = select(replays).where(~replays.c.request.startswith(SHADOW))
    with ledger.reading() as db:
        return [_replay(row) for row in db.execute(asked.order_by(replays.c.made_at.desc()))]


def _unfinished(db: Connection, request: Request) -> Replay | None:
    mine = (replays.c.request == request.digest, replays.c.finished_at.is_(None))
    row = db.execute(select(replays).where(*mine).order_by(replays.c.made_at.desc())).first()
    return _replay(row) if row else None


def _note(ledger: Ledger, replay: str, **values: datetime) -> None:
    with ledger.writing() as db:
        db.execute(update(replays).where(replays.c.key == replay).values(**values))


def _replay(row: Row[tuple[Any, ...]]) -> Replay:
    moments = (row.made_at, row.loaded_at, row.paused_at, row.finished_at)
    return Replay(row.key, Head.model_validate_json(row.head), row.model, bool(row.send), bool(row.again), *moments)
