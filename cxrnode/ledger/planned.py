"""The studies of a plan on their way to a verdict: claimed in order, held while fetched, watched while read."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, insert, or_, select, update

from cxrnode.finding import Outcome
from cxrnode.ledger import arrivals
from cxrnode.ledger.completions import Closing, Reason, closing_of
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.replayed import Order, unsent
from cxrnode.ledger.replaytables import Step, planned, replayed, replays
from cxrnode.ledger.tables import (
    OPEN,
    Kind,
    State,
    Work,
    cards,
    instances,
    purges,
    readings,
    rounds,
    studies,
    tasks,
)
from cxrnode.plan import Entry, Verdict, as_line
from cxrnode.spool import Receipt

MOST_READ_BEFORE = 200
"""So many studies that were read before get their verdict in one transaction."""
VERDICTS = {
    Outcome.POSITIVE: Verdict.ANALYSED,
    Outcome.NEGATIVE: Verdict.ANALYSED,
    Outcome.REFUSED: Verdict.REFUSED,
    Outcome.FAILED: Verdict.FAILED,
    Outcome.NOT_APPLICABLE: Verdict.NOT_APPLICABLE,
}


@dataclass(frozen=True)
class Claim:
    """A study of a plan that is ours to fetch, for the how manieth time."""

    replay: str
    number: int
    entry: Entry
    attempts: int


def load(ledger: Ledger, replay: str, first: int, entries: Sequence[Entry], now: datetime) -> None:
    """Enter studies of a plan, numbered from `first`; those whose verdict the plan knows have it."""
    rows = [
        {
            "replay_key": replay,
            "number": number,
            "study_instance_uid": entry.study,
            "entry": as_line(entry),
            "step": Step.DONE if entry.verdict else Step.WAITING,
            "due_at": now,
            "verdict": entry.verdict,
            "reason": entry.reason,
            "at": now if entry.verdict else None,
        }
        for number, entry in enumerate(entries, start=first)
    ]
    with ledger.writing() as db:
        db.execute(insert(planned), rows)


def claim(
    ledger: Ledger, replay: str, most: int, digests: Collection[str], now: datetime, until: datetime
) -> tuple[list[Claim], Counter[Verdict]]:
    """The next studies that are due, in the plan's order, held as being fetched until then.

    Those on the way to them that one of these cards has read before (or, where nothing is sent, has read for a replay)
    have their verdict by it; how many have which.
    """
    due = select(planned).where(*_at(replay, Step.WAITING), planned.c.due_at <= now).order_by(planned.c.number)
    claimed: list[Row[tuple[Any, ...]]] = []
    read: Counter[Verdict] = Counter()
    with ledger.reading() as db:
        if db.execute(due.limit(1)).first() is None:
            return [], read
    with ledger.writing() as db:
        sent = bool(db.execute(select(replays.c.send).where(replays.c.key == replay)).scalar_one())
        for row in db.execute(due.limit(most + (MOST_READ_BEFORE if digests else 0))).all():
            before = _read_before(db, row.study_instance_uid, digests, sent=sent)
            if before is not None:
                verdict, reason = _verdict(db, before)
                told = f"{reason} Read before, in round {before.number}.".strip()
                _conclude(db, _numbered(replay, row.number), verdict, told, now, before.key)
                read[verdict] += 1
            else:
                claimed.append(row)
                if len(claimed) == most:
                    break
        return _claimed(db, claimed, until), read


def claim_again(ledger: Ledger, replay: str, until: datetime) -> list[Claim]:
    """Those that were being fetched when an earlier run ended; without a moment in which nobody fetches them."""
    with ledger.writing() as db:
        return _claimed(db, db.execute(select(planned).where(*_at(replay, Step.FETCHING))).all(), until)


def hold(ledger: Ledger, replay: str, until: datetime) -> None:
    """Go on holding all that is being fetched."""
    with ledger.writing() as db:
        db.execute(update(planned).where(*_at(replay, Step.FETCHING)).values(held_until=until))


def put_back(ledger: Ledger, held: Claim, due_at: datetime, until: datetime, reason: str, *, counts: bool) -> None:
    """Let a study wait until it is due again, still held until then; the attempt `counts` where it may be its fault."""
    waiting = {"step": Step.WAITING, "due_at": due_at, "held_until": until, "reason": reason}
    with ledger.writing() as db:
        db.execute(update(planned).where(*_is(held)).values(attempts=held.attempts - (not counts), **waiting))


def conclude(ledger: Ledger, held: Claim, verdict: Verdict, reason: str, now: datetime) -> None:
    """Give a study its verdict that was not read."""
    with ledger.writing() as db:
        _conclude(db, _is(held), verdict, reason, now, None)


def read_before(
    ledger: Ledger, study_instance_uids: Collection[str], digests: Collection[str], *, sent: bool
) -> set[str]:
    """Which of these studies one of these cards has read and not failed to; with `sent`, so that it was sent."""
    mine = _read_by(digests, sent=sent).where(studies.c.study_instance_uid.in_(study_instance_uids))
    with ledger.reading() as db:
        return set(db.execute(mine.with_only_columns(studies.c.study_instance_uid)).scalars())


def came(ledger: Ledger, study_instance_uid: str) -> int:
    """How many SOP Instances of a study were received, by now."""
    joined = instances.join(studies, studies.c.key == instances.c.study_key)
    count = select(func.count(instances.c.sop_instance_uid.distinct())).select_from(joined)
    with ledger.reading() as db:
        return db.execute(count.where(studies.c.study_instance_uid == study_instance_uid)).scalar_one()


def close(
    ledger: Ledger, held: Claim, order: Order, receipts: Sequence[Receipt], closing: Closing, now: datetime
) -> bool | None:
    """Enter what came of a study, and have it read; False: not now, a round of somebody else's is open; None: no image.

    A round that the images began, or else a new one, becomes the replay's and is ready at once.
    """
    with ledger.writing() as db:
        arrivals.enter(db, receipts)
        study = select(studies.c.key).where(studies.c.study_instance_uid == held.entry.study)
        study_key = db.execute(study).scalar()
        if study_key is None or not _has_images(db, study_key):
            return None
        open_rounds = (rounds.c.study_key == study_key, rounds.c.state.in_([State.ARRIVING, State.READY]))
        begun = select(replayed.c.round_key).where(replayed.c.replay_key == held.replay)
        theirs = rounds.c.key.not_in(begun) | (rounds.c.state == State.READY)
        if db.execute(select(rounds.c.key).where(*open_rounds, theirs)).first() is not None:
            return False
        round_key = arrivals.read_again(db, study_key, now, order, closing)
        reading = {"step": Step.READING, "round_key": round_key, "held_until": None, "reason": ""}
        db.execute(update(planned).where(*_is(held)).values(**reading))
        return True


def conclude_read(ledger: Ledger, replay: str, now: datetime) -> Counter[Verdict]:
    """Give each study its verdict whose round is read, and of which nothing waits to be sent; how many of each."""
    sending = (tasks.c.round_key == rounds.c.key, tasks.c.work == Work.DELIVER, tasks.c.state.in_(OPEN))
    ended = or_(rounds.c.state == State.FINISHED, and_(rounds.c.state == State.ANALYSED, ~exists().where(*sending)))
    joined = select(planned.c.number.label("planned_number"), rounds).join(rounds, rounds.c.key == planned.c.round_key)
    mine = joined.where(*_at(replay, Step.READING), ended)
    found: Counter[Verdict] = Counter()
    with ledger.reading() as db:
        if db.execute(mine).first() is None:
            return found
    with ledger.writing() as db:
        for row in db.execute(mine).all():
            verdict, reason = _verdict(db, row)
            _conclude(db, _numbered(replay, row.planned_number), verdict, reason, now, row.key)
            found[verdict] += 1
    return found


def steps(ledger: Ledger, replay: str) -> Counter[Step]:
    """How many studies of a plan are at which step."""
    count = select(planned.c.step, func.count()).where(planned.c.replay_key == replay).group_by(planned.c.step)
    with ledger.reading() as db:
        return Counter({Step(step): many for step, many in db.execute(count)})


def verdicts(ledger: Ledger, replay: str) -> Counter[Verdict]:
    """How many studies of a plan have which verdict."""
    count = select(planned.c.verdict, func.count()).where(*_at(replay, Step.DONE)).group_by(planned.c.verdict)
    with ledger.reading() as db:
        return Counter({Verdict(verdict): many for verdict, many in db.execute(count)})


def _claimed(db: Connection, rows: Sequence[Row[tuple[Any, ...]]], until: datetime) -> list[Claim]:
    found = [Claim(row.replay_key, row.number, Entry.model_validate_json(row.entry), row.attempts + 1) for row in rows]
    for one in found:
        fetching = {"step": Step.FETCHING, "held_until": until, "attempts": one.attempts}
        db.execute(update(planned).where(*_is(one)).values(**fetching))
    return found


def _conclude(
    db: Connection,
    mine: Sequence[ColumnElement[bool]],
    verdict: Verdict,
    reason: str,
    now: datetime,
    round_key: str | None,
) -> None:
    done = {"step": Step.DONE, "verdict": verdict, "reason": reason, "at": now, "held_until": None}
    db.execute(update(planned).where(*mine).values(round_key=round_key, **done))


def _verdict(db: Connection, row: Row[tuple[Any, ...]]) -> tuple[Verdict, str]:
    closing = closing_of(db, row.key)
    if closing is not None and closing.reason is Reason.INCOMPLETE:
        return Verdict.NOT_WHOLE, f"{closing.received} of {closing.expected} images came; read as it is"
    told = select(readings.c.reason).where(readings.c.round_key == row.key, readings.c.reason != "").distinct()
    return VERDICTS[Outcome(row.outcome)], " ".join(sorted(db.execute(told).scalars()))


def _read_before(
    db: Connection, study_instance_uid: str, digests: Collection[str], *, sent: bool
) -> Row[tuple[Any, ...]] | None:
    mine = _read_by(digests, sent=sent).where(studies.c.study_instance_uid == study_instance_uid)
    return db.execute(mine.with_only_columns(rounds)).first() if digests else None


def _read_by(digests: Collection[str], *, sent: bool) -> Select[tuple[str]]:
    joined = rounds.join(cards).join(studies, studies.c.key == rounds.c.study_key)
    read = (rounds.c.state.in_([State.ANALYSED, State.FINISHED]), rounds.c.outcome != Outcome.FAILED)
    wanted = [~unsent(rounds.c.key)] if sent else []
    mine = select(rounds.c.key).select_from(joined).where(cards.c.digest.in_(digests), *read, *wanted)
    return mine.order_by(rounds.c.number.desc())


def _has_images(db: Connection, study_key: str) -> bool:
    kept = ~exists().where(purges.c.instance_key == instances.c.key)
    mine = (instances.c.study_key == study_key, instances.c.kind == Kind.SOURCE, kept)
    return db.execute(select(instances.c.key).where(*mine)).first() is not None


def _at(replay: str, step: Step) -> tuple[ColumnElement[bool], ...]:
    return planned.c.replay_key == replay, planned.c.step == step


def _is(held: Claim) -> tuple[ColumnElement[bool], ...]:
    return _numbered(held.replay, held.number)


def _numbered(replay: str, number: int) -> tuple[ColumnElement[bool], ...]:
    return planned.c.replay_key == replay, planned.c.number == number
