"""Work under lease: one holder at a time, a fence that grows with every lease, and no result written without it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, insert, or_, select, update

from cxrnode.errors import StaleLease
from cxrnode.ledger import circuits
from cxrnode.ledger.circuits import FREE, Passage
from cxrnode.ledger.database import Ledger, new_key
from cxrnode.ledger.states import Lane, TaskState, Work
from cxrnode.ledger.tables import rounds, tasks

LANES = tuple(Lane)
ALONE: Mapping[Lane, int] = MappingProxyType({})
"""no companions in any lane"""


@dataclass(frozen=True)
class Lease:
    """A task that is ours until `until`, unless the fence has moved on."""

    task_key: str
    round_key: str
    destination: str
    lane: Lane
    fence: int
    attempts: int
    created_at: datetime
    until: datetime
    passage: Passage = FREE
    """away: it has waited too long, and is to be given up without a call"""
    last_error: str = ""
    """of an earlier attempt; empty where each of them stopped its worker"""
    cut_short: bool = False
    """the attempt before this one never ended: its worker died or was stopped"""


@dataclass(frozen=True)
class Due:
    """A task that the queue should know of."""

    task_key: str
    work: Work
    lane: Lane
    destination: str = ""
    study_key: str = ""
    """for people: what `cxrnode trace` takes"""


def add_task(db: Connection, work: Work, round_key: str, lane: str, now: datetime, destination: str = "") -> None:
    """Make a piece of work due at once."""
    task = {"key": new_key(), "work": work, "round_key": round_key, "destination": destination, "lane": lane}
    db.execute(insert(tasks).values(state=TaskState.DUE, created_at=now, due_at=now, **task))


def again(db: Connection, work: Work, round_key: str, destination: str, now: datetime) -> bool:
    """Make a task due anew, as if it had never been tried; one under lease goes on. False: there is no such task."""
    mine = (tasks.c.work == work, tasks.c.round_key == round_key, tasks.c.destination == destination)
    found = db.execute(update(tasks).where(*mine).values(created_at=now, attempts=0)).rowcount == 1
    ended = tasks.c.state != TaskState.LEASED
    db.execute(update(tasks).where(*mine, ended).values(state=TaskState.DUE, due_at=now, last_error=""))
    return found


def due(
    ledger: Ledger, now: datetime, resubmit_s: Mapping[tuple[Work, Lane], float], give_up: timedelta | None = None
) -> list[Due]:
    """Every task that is due and not in the queue, as far as the ledger can tell, by lane and the oldest first.

    Not in the queue: never submitted since it became due (again), or, where `resubmit_s` has its work and lane
    (because that queue is empty), submitted longer ago than that. Of those whose peer's circuit is open: one, when
    the peer is to be tried, and each that is older than `give_up`, to be ended.
    """
    with ledger.reading() as db:
        free = ~circuits.is_open()
        if give_up is not None:
            free = or_(free, tasks.c.created_at < now - give_up)
        rows = {
            row.key: row for row in db.execute(_with_study().where(_is_due(now), free).order_by(tasks.c.created_at))
        }
        probe_at = {}
        for peer, at in circuits.to_probe(db, now):
            behind = _with_study().where(_is_due(now), circuits.peer_of_task() == peer)
            longest = func.coalesce(tasks.c.leased_until, tasks.c.due_at)  # each in turn, whatever came of the last
            for row in db.execute(behind.order_by(longest).limit(1)):
                rows[row.key], probe_at[row.key] = row, at
    found = []
    for row in rows.values():
        since = row.leased_until if row.state == TaskState.LEASED else row.due_at
        since = max(since, probe_at.get(row.key, since))  # what was noted before is of a queue that it has left
        patience = resubmit_s.get((Work(row.work), Lane(row.lane)))
        lost = patience is not None and row.submitted_at and row.submitted_at <= now - timedelta(seconds=patience)
        if row.submitted_at is None or row.submitted_at < since or lost:
            found.append(_due(row))
    return sorted(found, key=lambda one: LANES.index(one.lane))


def next_of(ledger: Ledger, round_key: str, now: datetime) -> list[Due]:
    """What is due of a round and was never submitted: what its last task has led to."""
    fresh = (tasks.c.round_key == round_key, tasks.c.state == TaskState.DUE, tasks.c.due_at <= now)
    with ledger.reading() as db:
        unknown = _with_study().where(*fresh, tasks.c.submitted_at.is_(None), ~circuits.is_open())
        return [_due(row) for row in db.execute(unknown)]


def more_urgent(ledger: Ledger, lane: Lane, now: datetime) -> bool:
    """Whether an analysis is due whose lane goes before this one, and nobody has it."""
    before = LANES[: LANES.index(lane)]
    waiting = (tasks.c.state == TaskState.DUE, tasks.c.due_at <= now, tasks.c.lane.in_(before))
    with ledger.reading() as db:
        found = select(tasks.c.key).where(tasks.c.work == Work.ANALYSE, *waiting).limit(1)
        return db.execute(found).first() is not None


def submitted(ledger: Ledger, task_keys: Sequence[str], now: datetime) -> None:
    """Note that these tasks are in the queue."""
    with ledger.writing() as db:
        db.execute(update(tasks).where(tasks.c.key.in_(task_keys)).values(submitted_at=now))


def lease(
    ledger: Ledger,
    task_key: str,
    now: datetime,
    lease_s: float,
    *,
    companions: Mapping[Lane, int] = ALONE,
    max_attempts: int | None = None,
    give_up: timedelta | None = None,
) -> list[Lease]:
    """Lease this task if it is due, and others of its work and lane, as many as `companions` has; empty: it is not due.

    Nor is it leased while its peer's circuit is open, unless it is the probe, or older than `give_up` and to be ended.

    A task that was begun before is leased alone: if it stops its worker again, it takes nobody with it. One that has
    stopped its worker `max_attempts` times is not leased, even when the broker redelivers it: `exhausted` names it.
    """
    mine = [tasks.c.key == task_key, _is_due(now)]
    if max_attempts is not None:
        mine.append(or_(tasks.c.state == TaskState.DUE, tasks.c.attempts < max_attempts))
    until = now + timedelta(seconds=lease_s)
    with ledger.writing() as db:
        first = db.execute(select(tasks).where(*mine)).first()
        if first is None:
            return []
        passage = circuits.passage(db, task_key, now, until) if first.destination else FREE
        if passage.away and not (give_up and first.created_at < now - give_up):
            db.execute(update(tasks).where(*mine).values(submitted_at=None))  # the queue has it no more
            return []
        chosen = [first]
        if first.attempts == 0:
            like_first = and_(
                tasks.c.work == first.work, tasks.c.lane == first.lane, tasks.c.destination == first.destination
            )
            others = select(tasks).where(_is_due(now), like_first, tasks.c.attempts == 0, tasks.c.key != task_key)
            chosen += db.execute(others.order_by(tasks.c.created_at).limit(companions.get(Lane(first.lane), 0))).all()
        for row in chosen:
            held = {
                "state": TaskState.LEASED,
                "fence": row.fence + 1,
                "attempts": row.attempts + 1,
                "leased_until": until,
            }
            db.execute(update(tasks).where(tasks.c.key == row.key).values(held))
        return [_lease(row, until, begun=1, passage=passage) for row in chosen]


def put_back(ledger: Ledger, held: Lease, due_at: datetime, error: str, *, counts: bool = True) -> None:
    """Give a task back, due again at `due_at`, with the reason; the attempt `counts` where the fault may be its own."""
    attempts = held.attempts if counts else held.attempts - 1
    with ledger.writing() as db:
        settle(db, held, TaskState.DUE, due_at=due_at, leased_until=None, last_error=error, attempts=attempts)


def let_go(ledger: Ledger, held: Sequence[Lease], now: datetime) -> None:
    """Give back tasks that were not begun, due at once, as if they had never been leased."""
    with ledger.writing() as db:
        for one in held:
            with suppress(StaleLease):
                settle(db, one, TaskState.DUE, due_at=now, leased_until=None, attempts=one.attempts - 1)


def settle(db: Connection, held: Lease, state: TaskState, **columns: object) -> None:
    """End a lease within the caller's transaction; raises StaleLease when somebody else has the task by now."""
    mine = (tasks.c.key == held.task_key, tasks.c.fence == held.fence, tasks.c.state == TaskState.LEASED)
    if db.execute(update(tasks).where(*mine).values(state=state, **columns)).rowcount != 1:
        raise _stale(held)
    if state != TaskState.DUE:
        circuits.forget(db)


def require(db: Connection, held: Lease) -> None:
    """Raise StaleLease unless this lease is the latest on its task; it stays so for a transaction that writes."""
    fence = db.execute(select(tasks.c.fence).where(tasks.c.key == held.task_key)).scalar()
    if fence != held.fence:
        raise _stale(held)


def exhausted(ledger: Ledger, max_attempts: int, now: datetime) -> list[Lease]:
    """Analyses whose last permitted attempt ran out without a word: their worker died or was stopped."""
    mine = (tasks.c.work == Work.ANALYSE, tasks.c.attempts >= max_attempts, _expired(now))
    with ledger.reading() as db:
        rows = db.execute(select(tasks).where(*mine)).all()
    return [_lease(row, row.leased_until or now) for row in rows]


def in_vain(times: int, last_error: str) -> str:
    """Why an analysis that was begun so often is given up."""
    ended = f"failed, the last time with {last_error}" if last_error else "stopped its worker each time"
    return f"The analysis was begun {times} times and {ended}; a person should look."


def _with_study() -> Select[tuple[Any, ...]]:
    return select(tasks, rounds.c.study_key).join(rounds, rounds.c.key == tasks.c.round_key)


def _due(row: Row[tuple[Any, ...]]) -> Due:
    return Due(row.key, Work(row.work), Lane(row.lane), row.destination, row.study_key)


def _lease(row: Row[tuple[Any, ...]], until: datetime, begun: int = 0, passage: Passage = FREE) -> Lease:
    return Lease(
        task_key=row.key,
        round_key=row.round_key,
        destination=row.destination,
        lane=Lane(row.lane),
        fence=row.fence + begun,
        attempts=row.attempts + begun,
        created_at=row.created_at,
        until=until,
        passage=passage,
        last_error=row.last_error,
        cut_short=row.state == TaskState.LEASED,
    )


def _is_due(now: datetime) -> ColumnElement[bool]:
    waiting = and_(tasks.c.state == TaskState.DUE, tasks.c.due_at <= now)
    return or_(waiting, _expired(now))


def _expired(now: datetime) -> ColumnElement[bool]:
    return and_(tasks.c.state == TaskState.LEASED, tasks.c.leased_until <= now)


def _stale(held: Lease) -> StaleLease:
    return StaleLease(f"task {held.task_key} was leased again since fence {held.fence}")
