"""What happened to one study, and when: everything that the ledger knows of it, in the order of time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from sqlalchemy import Connection, Row, and_, select

from cxrnode.counted import counted
from cxrnode.ledger.circuits import peer_of_task, silence
from cxrnode.ledger.completions import Reason, closing_of
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.naming import study_named
from cxrnode.ledger.replayed import ordered
from cxrnode.ledger.standing import nothing_new, standing_number
from cxrnode.ledger.states import OPEN, Kind, Lane, State, TaskState, Work
from cxrnode.ledger.tables import changes, circuits, deliveries, instances, objects, purges, rounds, tasks, withdrawals


@dataclass(frozen=True)
class Event:
    """One thing that happened, or (a task that waits) will: `round_number` None where it is of no round (yet)."""

    at: datetime
    round_number: int | None
    what: str
    told: str
    took_s: float | None = None
    """since what it followed from: the last image, the end of the quiet time, the end of the analysis"""
    uids: tuple[str, ...] = ()
    """the SOP Instance UIDs that it is about"""
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    """of an analysis: where its time went, stage by stage as `cxrnode.stopwatch` names them, and each delivery's"""


@dataclass(frozen=True)
class Timeline:
    """A study's random key and its events, earliest first."""

    study: str
    events: tuple[Event, ...]


def timeline(ledger: Ledger, study: str) -> Timeline:
    """The events of the study of this name (`study_named`). Raises Unknown."""
    with ledger.reading() as db:
        key = study_named(db, study)
        found = [*_arrivals(db, key), *_purges(db, key)]
        for row in db.execute(select(rounds).where(rounds.c.study_key == key).order_by(rounds.c.number)).all():
            found += [*_analysis(db, row), *_deliveries(db, row), *_withdrawal(db, row), *_waiting(db, row)]
    return Timeline(key, tuple(sorted(found, key=lambda event: event.at)))


def _arrivals(db: Connection, study_key: str) -> Iterator[Event]:
    """The images of each round as one event; corrections, and what is not read, one by one."""
    came = select(instances, changes.c.attributes).outerjoin(changes, changes.c.instance_key == instances.c.key)
    mine = db.execute(came.where(instances.c.study_key == study_key).order_by(instances.c.received_at)).all()
    sources = sorted((row for row in mine if row.kind == Kind.SOURCE), key=lambda row: row.first_round or float("inf"))
    for number, group in groupby(sources, key=lambda row: row.first_round):
        images = list(group)
        took_s = (images[-1].received_at - images[0].received_at).total_seconds()
        told = f"{counted(len(images), 'image')} from {', '.join(sorted({row.calling_ae for row in images}))}"
        yield Event(images[0].received_at, number, "received", told, took_s, _uids(images))
    for row in mine:
        if row.kind != Kind.SOURCE:
            told = f"from {row.calling_ae}" + (f": {row.attributes}" if row.attributes else "")
            yield Event(row.received_at, row.first_round, f"received, {row.kind}", told, uids=_uids([row]))


def _analysis(db: Connection, row: Row[tuple[object, ...]]) -> Iterator[Event]:
    if row.closed_at is not None:
        quiet_s = (row.closed_at - row.last_received_at).total_seconds()
        closing = closing_of(db, row.key)
        why = closing.words(quiet_s) if closing else "nothing more came"
        what = "incomplete" if closing and closing.reason is Reason.INCOMPLETE else "complete"
        yield Event(row.closed_at, row.number, what, f"{why}; STAT" if row.lane == Lane.STAT else why, quiet_s)
    if row.analysed_at is not None:
        mine = (tasks.c.round_key == row.key, tasks.c.work == Work.ANALYSE)
        task = db.execute(select(tasks).where(*mine)).one()
        what = "given up" if task.state == TaskState.ABANDONED else "analysed"
        stands = nothing_new(standing_number(db, row.key))
        told = [
            row.outcome,
            row.model,
            counted(task.attempts, "attempt"),
            _replay(db, row.key),
            stands,
            task.last_error,
        ]
        took_s = (row.analysed_at - row.closed_at).total_seconds()
        spent = json.loads(row.stages_ms)
        yield Event(row.analysed_at, row.number, what, "; ".join(filter(None, told)), took_s, stages_ms=spent)
    if row.state == State.FINISHED:
        yield Event(row.finished_at, row.number, "finished", "nothing is due")


def _replay(db: Connection, round_key: str) -> str:
    """That a replay began a round, and whether its results stay here; empty where none did."""
    order = ordered(db, round_key)
    if order is None:
        return ""
    return f"for replay {order.replay[:8]}" + ("" if order.send else ", nothing is sent")


def _deliveries(db: Connection, row: Row[tuple[object, ...]]) -> Iterator[Event]:
    """What became of each object at each destination."""
    joined = select(deliveries, objects.c.role).join(objects).where(objects.c.round_key == row.key)
    for sent in db.execute(joined.where(deliveries.c.at.is_not(None))):
        status = "" if sent.status is None else f"0x{sent.status:04X}"
        told = [f"{sent.role} at {sent.destination}", status, counted(sent.attempts, "attempt"), sent.reason]
        took_s = (sent.at - row.analysed_at).total_seconds()
        yield Event(sent.at, row.number, sent.fate, "; ".join(filter(None, told)), took_s, _uids([sent]))


def _withdrawal(db: Connection, row: Row[tuple[object, ...]]) -> Iterator[Event]:
    for withdrawn in db.execute(select(withdrawals).where(withdrawals.c.round_key == row.key)):
        yield Event(withdrawn.at, row.number, "withdrawn", withdrawn.reason)


def _purges(db: Connection, study_key: str) -> Iterator[Event]:
    """When the bytes of images were removed, and with them the results of every round until then; and came again."""
    joined = select(purges, rounds.c.number, instances.c.sop_instance_uid).select_from(
        purges.join(instances).join(rounds, rounds.c.key == purges.c.round_key)
    )
    rows = db.execute(joined.where(rounds.c.study_key == study_key).order_by(purges.c.at)).all()
    for (at, number, keep_days), group in groupby(rows, key=lambda row: (row.at, row.number, row.keep_days)):
        gone = list(group)
        told = f"{counted(len(gone), 'image')} and all results, kept for {keep_days:g} days"
        yield Event(at, number, "purged", told, uids=_uids(gone))
        if there := [row for row in gone if row.restored_at is not None]:
            told = f"{counted(len(there), 'image')}, which had been purged"
            yield Event(min(row.restored_at for row in there), number, "fetched again", told, uids=_uids(there))


def _waiting(db: Connection, row: Row[tuple[object, ...]]) -> Iterator[Event]:
    """The tasks that are still to do, at the moment when they are due, or a destination that is away is tried again."""
    if row.state == State.ARRIVING and (replay := _replay(db, row.key)):
        yield Event(row.last_received_at, row.number, "waits until it was fetched", replay)
    undone = (tasks.c.round_key == row.key, tasks.c.state.in_(OPEN))
    away = and_(circuits.c.peer == peer_of_task(), circuits.c.opened_at.is_not(None))
    joined = select(tasks, circuits.c.opened_at, circuits.c.probe_at, circuits.c.reason)
    for task in db.execute(joined.select_from(tasks.outerjoin(circuits, away)).where(*undone)):
        work = f"{task.work} {task.destination}".strip()
        what = f"{work}: under way" if task.state == TaskState.LEASED else f"{work}: due"
        told = [counted(task.attempts, "attempt"), task.last_error]
        if task.opened_at is not None and task.state == TaskState.DUE:
            what, told = f"{work}: waits", [silence(task), "next try"]
        yield Event(max(task.due_at, task.probe_at or task.due_at), row.number, what, "; ".join(filter(None, told)))


def _uids(rows: Sequence[Row[tuple[object, ...]]]) -> tuple[str, ...]:
    return tuple(str(row.sop_instance_uid) for row in rows)
