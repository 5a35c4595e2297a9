"""Whether a study is whole: what its sources say that they have, what came, and why each round was closed."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from cxrnode.counted import counted
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.replayed import of_replay
from cxrnode.ledger.states import TAKEN, Kind, State
from cxrnode.ledger.tables import (
    completions,
    deliveries,
    instances,
    objects,
    questions,
    returns,
    rounds,
    studies,
    withdrawals,
)
from cxrnode.uids import Role


class Said(StrEnum):
    """What a source made of the question how many instances of a study it has."""

    COUNT = "a count"
    SILENT = "silent"
    REFUSED = "refused"
    NO_ANSWER = "no answer"


class Reason(StrEnum):
    """Why a round was closed."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    QUIET = "quiet"
    UNDECIDED = "undecided"
    SILENT = "silent"
    REFUSED = "refused"
    NO_ANSWER = "no answer"
    REOPENED = "reopened"
    REPLAYED = "replayed"
    SHADOW = "shadow"


WORDS = {
    Reason.COMPLETE: "the source has {expected}, {received} came",
    Reason.INCOMPLETE: "quiet for {quiet_s:.0f} s; the source has {expected}, {received} came",
    Reason.QUIET: "quiet for {quiet_s:.0f} s",
    Reason.UNDECIDED: "quiet for {quiet_s:.0f} s; the source's count does not decide",
    Reason.SILENT: "quiet for {quiet_s:.0f} s; the source does not say how many instances it has",
    Reason.REFUSED: "quiet for {quiet_s:.0f} s; the source will not be asked",
    Reason.NO_ANSWER: "quiet for {quiet_s:.0f} s; the source gave no answer",
    Reason.REOPENED: "read again",
    Reason.REPLAYED: "a replay has fetched it",
    Reason.SHADOW: "for a shadow model to read",
}


@dataclass(frozen=True)
class Closing:
    """Why a round is closed; of instances, how many its source has (None: nobody knows), and how many came."""

    reason: Reason
    expected: int | None
    received: int

    def words(self, quiet_s: float) -> str:
        """The same as a sentence, `quiet_s` seconds after the last image."""
        expected = counted(self.expected, "instance") if self.expected is not None else "more"
        return WORDS[self.reason].format(expected=expected, received=self.received, quiet_s=quiet_s)


@dataclass(frozen=True)
class Source:
    """One sender of a round as it stands: what it said since the last image came, and what came from it.

    Its count may have results of ours in it: `ours_surely` that it took and that nobody withdrew, `ours_perhaps` that
    anybody took or that came back.
    """

    said: Said | None
    """None: it was not asked"""
    count: int
    came: int
    came_from_anybody: int
    ours_surely: int
    ours_perhaps: int


@dataclass(frozen=True)
class Standing:
    """A round that is still arriving."""

    sources: tuple[Source, ...]
    received: int


@dataclass(frozen=True)
class Question:
    """How many instances this study has, to be asked of the sender with this AE title, which called from there."""

    round_key: str
    study_instance_uid: str
    ae_title: str
    address: str
    last_received_at: datetime


def by_quiet(standing: Standing, quiet_for_s: float, quiet_s: float) -> Closing | None:
    """Quiet time alone, and why it was alone."""
    if quiet_for_s < quiet_s:
        return None
    why = {Said.COUNT: Reason.UNDECIDED} | {one: Reason(one.value) for one in Said if one is not Said.COUNT}
    said = {one.said for one in standing.sources}
    reasons = [why[one] for one in Said if one in said]
    return Closing(reasons[0] if reasons else Reason.QUIET, None, standing.received)


def due(ledger: Ledger, ae_titles: Collection[str], after_s: float, now: datetime) -> list[Question]:
    """What to ask these senders now: each when a study has been quiet for `after_s`, and again as `ask` has set."""
    if not ae_titles:
        return []
    joined = (
        rounds.join(studies)
        .join(instances, instances.c.study_key == rounds.c.study_key)
        .outerjoin(
            questions,
            (questions.c.round_key == rounds.c.key) & (questions.c.ae_title == instances.c.calling_ae),
        )
    )
    mine = (
        rounds.c.state == State.ARRIVING,
        ~of_replay(rounds.c.key),
        rounds.c.last_received_at <= now - timedelta(seconds=after_s),
        instances.c.first_round.is_(None),
        instances.c.kind.in_([Kind.SOURCE, Kind.CORRECTION]),
        instances.c.calling_ae.in_(ae_titles),
    )
    wanted = select(
        rounds.c.key,
        rounds.c.last_received_at,
        studies.c.study_instance_uid,
        instances.c.calling_ae,
        instances.c.address,
        questions.c.asked_at,
        questions.c.ask_at,
    ).select_from(joined)
    with ledger.reading() as db:
        rows = db.execute(wanted.where(*mine).order_by(rounds.c.last_received_at, instances.c.received_at)).all()
    latest = {(row.key, row.calling_ae): row for row in rows}
    return [
        Question(row.key, row.study_instance_uid, row.calling_ae, row.address, row.last_received_at)
        for row in latest.values()
        if row.asked_at is None or row.asked_at < row.last_received_at or row.ask_at <= now
    ]


def ask(ledger: Ledger, question: Question, after_s: float, now: datetime) -> bool:
    """Note that this is asked now, and again after twice as long each time; False: somebody else has asked it."""
    this = (questions.c.round_key == question.round_key, questions.c.ae_title == question.ae_title)
    arriving = (rounds.c.key == question.round_key, rounds.c.state == State.ARRIVING)
    with ledger.writing() as db:
        if db.execute(select(rounds.c.key).where(*arriving)).first() is None:
            return False
        before = db.execute(select(questions).where(*this)).first()
        current = before is not None and before.asked_at >= question.last_received_at
        if before is not None and current and before.ask_at > now:
            return False
        asked = before.asked + 1 if before is not None and current else 1
        values = {"asked": asked, "asked_at": now, "ask_at": now + timedelta(seconds=after_s * 2.0 ** min(asked, 30))}
        if before is None:
            db.execute(insert(questions).values(round_key=question.round_key, ae_title=question.ae_title, **values))
        else:
            unanswered = {} if current else {"said": None, "expected": None}
            db.execute(update(questions).where(*this).values(**values, **unanswered))
        return True


def answered(ledger: Ledger, question: Question, said: Said, count: int | None) -> None:
    """Note what a source said; nothing where another image came since it was asked, as it may be one more by then."""
    this = (questions.c.round_key == question.round_key, questions.c.ae_title == question.ae_title)
    with ledger.writing() as db:
        last = db.execute(select(rounds.c.last_received_at).where(rounds.c.key == question.round_key)).scalar_one()
        if last == question.last_received_at:
            db.execute(update(questions).where(*this).values(said=said, expected=count))


def standing(db: Connection, row: Row[tuple[object, ...]], destinations: Mapping[str, str]) -> Standing:
    """How an arriving round stands; `destinations` has the AE title of each destination."""
    came = db.execute(select(instances).where(instances.c.study_key == row.study_key)).all()
    arriving = {
        one.calling_ae for one in came if one.first_round is None and one.kind in {Kind.SOURCE, Kind.CORRECTION}
    }
    said = {one.ae_title: one for one in db.execute(select(questions).where(questions.c.round_key == row.key))}
    current = {ae: one for ae, one in said.items() if one.asked_at >= row.last_received_at}
    known = any(one.said == Said.COUNT for one in current.values())
    taken = db.execute(_taken(str(row.study_key))).all() if known else []
    perhaps = {one.sop_instance_uid for one in (*taken, *(back for back in came if back.kind == Kind.OWN))}
    sources = []
    for ae_title in sorted(arriving):
        surely = {
            one.sop_instance_uid
            for one in taken
            if (one.went_back_to or destinations.get(one.destination)) == ae_title and _stands(one)
        }
        answer = current.get(ae_title)
        sources.append(
            Source(
                said=None if answer is None else Said(answer.said or Said.NO_ANSWER),
                count=(answer.expected if answer is not None else None) or 0,
                came=_distinct(one for one in came if one.calling_ae == ae_title),
                came_from_anybody=_distinct(came),
                ours_surely=len(surely),
                ours_perhaps=len(perhaps),
            )
        )
    return Standing(tuple(sources), _distinct(one for one in came if one.first_round is None))


def record(db: Connection, round_key: str, closing: Closing, now: datetime) -> None:
    """Keep why a round was closed."""
    db.execute(insert(completions).values(round_key=round_key, **vars(closing), at=now))


def closing_of(db: Connection, round_key: str) -> Closing | None:
    """Why a round was closed; None: it was not yet, or before reasons were kept."""
    return closings_of(db, [round_key]).get(round_key)


def closings_of(db: Connection, round_keys: Collection[str]) -> dict[str, Closing]:
    """The same of several rounds, by key."""
    rows = db.execute(select(completions).where(completions.c.round_key.in_(round_keys)))
    return {row.round_key: Closing(Reason(row.reason), row.expected, row.received) for row in rows}


def warnings(db: Connection, round_key: str) -> tuple[str, ...]:
    """What the results of a round that was closed too early must say."""
    closing = closing_of(db, round_key)
    if closing is None or closing.reason is not Reason.INCOMPLETE:
        return ()
    if closing.expected is None:
        return ("Study incomplete: its source broke off before all of it had come.",)
    return (f"Study incomplete: its source had {closing.expected} instances when {closing.received} had come.",)


def _taken(study_key: str) -> Select[tuple[Any, ...]]:
    back = (returns.c.round_key == rounds.c.key) & (returns.c.destination == deliveries.c.destination)
    joined = rounds.join(objects).join(deliveries).outerjoin(returns, back)
    joined = joined.outerjoin(withdrawals, withdrawals.c.round_key == rounds.c.key)
    wanted = select(
        deliveries.c.sop_instance_uid,
        deliveries.c.destination,
        objects.c.role,
        withdrawals.c.at.label("withdrawn_at"),
        returns.c.ae_title.label("went_back_to"),
    )
    return wanted.select_from(joined).where(rounds.c.study_key == study_key, deliveries.c.fate.in_(TAKEN))


def _stands(taken: Row[tuple[object, ...]]) -> bool:
    """Whether an archive that hides what was rejected still counts it."""
    return taken.withdrawn_at is None and taken.role != Role.REJECTION


def _distinct(rows: Iterable[Row[tuple[object, ...]]]) -> int:
    """How many SOP Instances there are among the received copies, our own results left out."""
    return len({row.sop_instance_uid for row in rows if row.kind != Kind.OWN})
