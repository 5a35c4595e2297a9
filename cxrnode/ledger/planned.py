"""The studies of a plan on their way to a verdict: claimed in order, held while fetched, watched while read."""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, insert, or_, select, update

from cxrnode.finding import Outcome
from cxrnode.ledger.completions import Reason, closing_of
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.earlier import latest_read
from cxrnode.ledger.purged import kept, may_come_again
from cxrnode.ledger.replaytables import Step, planned
from cxrnode.ledger.states import OPEN, Kind, State, Work
from cxrnode.ledger.tables import instances, readings, rounds, studies, tasks
from cxrnode.plans.plan import Entry, Verdict, as_line

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


@dataclass(frozen=True)
class Hold:
    """Until when what arrives of a study is the replay's, unless it goes on; `sender`: the AE title of who sends it.

    It is empty where nobody sends it to the receiver.
    """

    until: datetime
    sender: str = ""


@dataclass(frozen=True)
class Known:
    """What counts as read before: by a card of one of these digests, none where all is read again.

    With `sent`, rounds of which nothing is sent, or was taken, do not count. So many studies more than are wanted are
    looked at as `ahead` says.
    """

    digests: Collection[str]
    sent: bool
    ahead: int = 0


class Claimed(NamedTuple):
    """What came of a claim: the studies that are ours to fetch, and the verdicts of those that were read before."""

    studies: tuple[Claim, ...]
    read: Counter[Verdict]


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


def claim(ledger: Ledger, replay: str, most: int, now: datetime, hold: Hold, known: Known) -> Claimed:
    """The next studies that are due, in the plan's order, `most` of them, held as being fetched.

    Those on the way to them that were read before have their verdict by it; a study that a plan names twice waits while
    it is under way by its other name. One run of a replay claims at a time.
    """
    due = select(planned).where(*_at(replay, Step.WAITING), planned.c.due_at <= now, ~_twin_under_way())
    with ledger.reading() as db:
        found: dict[str, Row[tuple[Any, ...]]] = {}
        for row in db.execute(due.order_by(planned.c.number).limit(most + known.ahead)):
            found.setdefault(row.study_instance_uid, row)
        rows = list(found.values())
        before = latest_read(db, {row.study_instance_uid for row in rows}, known.digests, sent=known.sent)
    new = [row for row in rows if row.study_instance_uid not in before][:most]
    beyond = new[-1].number if len(new) == most else math.inf
    read = [row for row in rows if row.study_instance_uid in before and row.number < beyond]
    if not new and not read:
        return Claimed((), Counter())
    verdicts: Counter[Verdict] = Counter()
    with ledger.writing() as db:
        for row in read:
            earlier = before[row.study_instance_uid]
            verdict, reason = _verdict(db, earlier)
            told = f"{reason} Read before, in round {earlier.number}.".strip()
            _conclude(db, _numbered(replay, row.number), verdict, told, now, earlier.key)
            verdicts[verdict] += 1
        return Claimed(_claimed(db, replay, new, now, hold), verdicts)


def fetching(ledger: Ledger, replay: str) -> set[int]:
    """What is being fetched, by its place in the plan."""
    with ledger.reading() as db:
        return set(db.execute(select(planned.c.number).where(*_at(replay, Step.FETCHING))).scalars())


def claimed(ledger: Ledger, replay: str, numbers: Collection[int]) -> list[Claim]:
    """What an earlier run had claimed and was fetching when it ended."""
    again = select(planned).where(planned.c.replay_key == replay, planned.c.number.in_(numbers))
    with ledger.reading() as db:
        return [_claim(row, row.attempts) for row in db.execute(again.order_by(planned.c.number))]


def hold(ledger: Ledger, replay: str, until: datetime) -> None:
    """Go on holding all that is being fetched."""
    with ledger.writing() as db:
        db.execute(update(planned).where(*_at(replay, Step.FETCHING)).values(held_until=until))


def put_back(ledger: Ledger, held: Claim, due_at: datetime, until: datetime, reason: str, *, counts: bool) -> None:
    """Let a study wait until it is due again, still held until then; the attempt `counts` where it may be its fault."""
    waiting = {"step": Step.WAITING, "due_at": due_at, "held_until": until, "reason": reason}
    with ledger.writing() as db:
        db.execute(update(planned).where(*this(held)).values(attempts=held.attempts - (not counts), **waiting))


def conclude(ledger: Ledger, held: Claim, verdict: Verdict, reason: str, now: datetime) -> None:
    """Give a study its verdict that was not read."""
    with ledger.writing() as db:
        _conclude(db, this(held), verdict, reason, now, None)


def read_before(ledger: Ledger, study_instance_uids: Collection[str], known: Known) -> Collection[str]:
    """Which of these studies were read before."""
    with ledger.reading() as db:
        return latest_read(db, study_instance_uids, known.digests, sent=known.sent).keys()


def came(ledger: Ledger, study_instance_uid: str) -> int:
    """How many SOP Instances of a study are there, by now."""
    joined = instances.join(studies, studies.c.key == instances.c.study_key)
    count = select(func.count(instances.c.sop_instance_uid.distinct())).select_from(joined)
    with ledger.reading() as db:
        return db.execute(count.where(studies.c.study_instance_uid == study_instance_uid, kept())).scalar_one()


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


def _claimed(
    db: Connection, replay: str, rows: Sequence[Row[tuple[Any, ...]]], now: datetime, hold: Hold
) -> tuple[Claim, ...]:
    mine = (planned.c.replay_key == replay, planned.c.number.in_([row.number for row in rows]))
    held = {"held_since": now, "held_until": hold.until, "sender": hold.sender}
    if rows:
        fetching = {"step": Step.FETCHING, "attempts": planned.c.attempts + 1}
        db.execute(update(planned).where(*mine).values(**fetching, **held))
        may_come_again(db, {row.study_instance_uid for row in rows})
    return tuple(_claim(row, row.attempts + 1) for row in rows)


def _claim(row: Row[tuple[Any, ...]], attempts: int) -> Claim:
    return Claim(row.replay_key, row.number, Entry.model_validate_json(row.entry), attempts)


def _conclude(
    db: Connection,
    mine: Sequence[ColumnElement[bool]],
    verdict: Verdict,
    reason: str,
    now: datetime,
    round_key: str | None,
) -> None:
    done = {"step": Step.DONE, "verdict": verdict, "reason": reason, "at": now}
    db.execute(update(planned).where(*mine).values(round_key=round_key, **done))


def _verdict(db: Connection, row: Row[tuple[Any, ...]]) -> tuple[Verdict, str]:
    closing = closing_of(db, row.key)
    if closing is not None and closing.reason is Reason.INCOMPLETE:
        came = f"{closing.received} of {closing.expected} images" if closing.expected else "Not all images"
        return Verdict.NOT_WHOLE, f"{came} came; read as it is"
    told = select(readings.c.reason).where(readings.c.round_key == row.key, readings.c.reason != "").distinct()
    return VERDICTS[Outcome(row.outcome)], " ".join(sorted(db.execute(told).scalars()))


def has_images(db: Connection, study_key: str) -> bool:
    """Whether there is an image of a study to be read."""
    mine = (instances.c.study_key == study_key, instances.c.kind == Kind.SOURCE, kept())
    return db.execute(select(instances.c.key).where(*mine)).first() is not None


def _twin_under_way() -> ColumnElement[bool]:
    twin = planned.alias()
    same = (twin.c.replay_key == planned.c.replay_key, twin.c.study_instance_uid == planned.c.study_instance_uid)
    return exists().where(*same, twin.c.step.in_([Step.FETCHING, Step.READING]))


def _at(replay: str, step: Step) -> tuple[ColumnElement[bool], ...]:
    return planned.c.replay_key == replay, planned.c.step == step


def this(held: Claim) -> tuple[ColumnElement[bool], ...]:
    """That a row of `planned` is this study's."""
    return _numbered(held.replay, held.number)


def _numbered(replay: str, number: int) -> tuple[ColumnElement[bool], ...]:
    return planned.c.replay_key == replay, planned.c.number == number
