"""What arrived: receipts become instances and rounds, and a study that is quiet becomes ready."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Row, exists, func, insert, select, true, update

from cxrnode.ledger import canaries, completions, replayed, transfers
from cxrnode.ledger.completions import Closing, Reason, Said, Standing, by_quiet
from cxrnode.ledger.corrections import correct
from cxrnode.ledger.database import Ledger, move, new_key
from cxrnode.ledger.purged import came_again, is_kept
from cxrnode.ledger.replayed import Order
from cxrnode.ledger.states import Kind, Lane, State, Work
from cxrnode.ledger.tables import instances, objects, questions, rounds, studies
from cxrnode.ledger.work import add_task
from cxrnode.receipt import Receipt

REOPENED = Closing(Reason.REOPENED, None, 0)
Rule = Callable[[Standing, float, float], Closing | None]
"""Whether a round is closed that stands so and has been quiet for the first time, where the second is enough."""
Routed = Callable[[Connection, str], bool]
"""Whether the routes make the study of the round with this key STAT."""
BITE = 50
"""Rounds that are closed in one transaction, so that many at a time hold no other writer up."""


def note(ledger: Ledger, receipts: Iterable[Receipt], there: Callable[[Receipt], bool] = lambda _: True) -> int:
    """Enter receipts, each once however often it is told; the number of new instances.

    One that is new is asked for `there` first: whoever erases a study waits meanwhile, or has done so before.
    """
    with ledger.writing() as db:
        return enter(db, receipts, there)


def enter(db: Connection, receipts: Iterable[Receipt], there: Callable[[Receipt], bool] = lambda _: True) -> int:
    """The same within a transaction."""
    entered, new = list[Receipt](), set[str]()
    for receipt in receipts:
        known = db.execute(select(instances).where(instances.c.key == receipt.key)).first()
        if known is None and not there(receipt):
            continue
        entered.append(receipt)
        if known is None:
            _enter(db, receipt)
            new.add(receipt.key)
        else:
            _enter_again(db, receipt, known)
    transfers.count(db, entered, new)
    return len(new)


def known(ledger: Ledger, shard: str = "") -> set[str]:
    """The keys of the instances in the ledger that begin so, to be held against the spool's."""
    with ledger.reading() as db:
        here = (instances.c.key >= shard, instances.c.key < f"{shard}g")  # keys are hexadecimal
        return set(db.execute(select(instances.c.key).where(*here)).scalars())


def close_settled(
    ledger: Ledger,
    quiet_s: float,
    now: datetime,
    rule: Rule = by_quiet,
    ae_titles: Mapping[str, str] = MappingProxyType({}),
    routed: Routed | None = None,
) -> int:
    """Close every round of which `rule` says so, note why, and make its analysis due; how many were closed.

    It is asked of those that have been quiet for `quiet_s`, and of those whose sources have told a count, but not of
    those of a replay, which closes its own. `ae_titles` has that of each destination. `routed` is asked of a live
    round that is closed.
    """
    closed = 0
    while bite := _close_some(ledger, quiet_s, now, rule, ae_titles, routed):
        closed += bite
        if bite < BITE:
            break
    return closed


def quiet_from(ledger: Ledger, quiet_s: float, now: datetime) -> datetime | None:
    """When the next of the rounds that are arriving will have been quiet for so long; None: there is none."""
    still = (rounds.c.state == State.ARRIVING, rounds.c.last_received_at > now - timedelta(seconds=quiet_s))
    with ledger.reading() as db:
        first = db.execute(select(func.min(rounds.c.last_received_at)).where(*still)).scalar()
    return first + timedelta(seconds=quiet_s) if first is not None else None


def _close_some(
    ledger: Ledger, quiet_s: float, now: datetime, rule: Rule, ae_titles: Mapping[str, str], routed: Routed | None
) -> int:
    told = exists().where(questions.c.round_key == rounds.c.key, questions.c.said == Said.COUNT)
    quiet = rounds.c.last_received_at <= now - timedelta(seconds=quiet_s)
    closed = 0
    with ledger.writing() as db:
        settled = (quiet | told, ~replayed.under_way(rounds.c.key))
        waiting = select(rounds).where(rounds.c.state == State.ARRIVING, *settled).order_by(rounds.c.last_received_at)
        for one in db.execute(waiting).all():
            standing = completions.standing(db, one, ae_titles)
            closing = rule(standing, (now - one.last_received_at).total_seconds(), quiet_s)
            if closing is not None:
                _close(db, one, closing, now, routed)
                closed += 1
            if closed == BITE:
                break
    return closed


def read_again(
    db: Connection,
    study_key: str,
    now: datetime,
    order: Order | None = None,
    closing: Closing = REOPENED,
) -> str | None:
    """Make a study's next round ready at once and return its key: one that is arriving, else a new one.

    It covers the images there are, under a task and UIDs of its own; with an `order` it is a replay's. None: not now,
    as one is arriving that is not of this order.
    """
    arriving = select(rounds).where(rounds.c.study_key == study_key, rounds.c.state == State.ARRIVING)
    if db.execute(arriving).first() is None:
        _open_round(db, study_key, now, order)
    closed = db.execute(arriving).one()
    if replayed.ordered(db, closed.key) != order:
        return None
    _close(db, closed, closing, now)
    return str(closed.key)


def _enter(db: Connection, receipt: Receipt) -> None:
    received_at = _at(receipt)
    canaries.adopt(db, receipt)
    study_key = _study_key(db, receipt.study_instance_uid)
    kind = _kind(db, receipt)
    db.execute(
        insert(instances).values(
            key=receipt.key,
            study_key=study_key,
            kind=kind,
            sop_instance_uid=receipt.sop_instance_uid,
            sop_class_uid=receipt.sop_class_uid,
            sha256=receipt.sha256,
            size=receipt.size,
            calling_ae=receipt.calling_ae,
            address=receipt.address,
            association=receipt.association,
            received_at=received_at,
        )
    )
    order = replayed.owner(db, receipt)
    heard = order is None or order.send  # a replay that sends nothing corrects nothing that is or will be sent
    if kind is Kind.SOURCE or (
        kind is Kind.CORRECTION and (not heard or correct(db, study_key, receipt.key, receipt.corrected, received_at))
    ):
        _extend_round(db, study_key, received_at, order, stat=receipt.stat)


def _enter_again(db: Connection, receipt: Receipt, known: Row[tuple[Any, ...]]) -> None:
    """A duplicate; one that is live of what a replay alone has fetched, and may send nothing of, makes it live."""
    order = replayed.owner(db, receipt)
    came_again(db, receipt)
    if order is None and known.kind == Kind.SOURCE and is_kept(db, known.key) and not _heard(db, known):
        _extend_round(db, known.study_key, _at(receipt), None, stat=receipt.stat)


def _heard(db: Connection, known: Row[tuple[Any, ...]]) -> bool:
    """Whether an image is covered by a round whose results are sent, or by one that is arriving live."""
    covers = rounds.c.number >= known.first_round if known.first_round else rounds.c.state == State.ARRIVING
    its = (rounds.c.study_key == known.study_key, covers, ~replayed.unsent(rounds.c.key))
    live = ~replayed.of_replay(rounds.c.key) if known.first_round is None else true()
    return db.execute(select(rounds.c.key).where(*its, live)).first() is not None


def _at(receipt: Receipt) -> datetime:
    return datetime.fromisoformat(receipt.received_at)


def _kind(db: Connection, receipt: Receipt) -> Kind:
    own = select(objects.c.sop_instance_uid).where(objects.c.sop_instance_uid == receipt.sop_instance_uid)
    if db.execute(own).first() is not None:
        return Kind.OWN
    if receipt.corrected:
        return Kind.CORRECTION
    return Kind.ASIDE if receipt.aside_of else Kind.SOURCE


def _study_key(db: Connection, study_instance_uid: str) -> str:
    found = db.execute(select(studies.c.key).where(studies.c.study_instance_uid == study_instance_uid)).scalar()
    if found is None:
        found = new_key()
        db.execute(insert(studies).values(key=found, study_instance_uid=study_instance_uid))
    return str(found)


def _extend_round(db: Connection, study_key: str, received_at: datetime, order: Order | None, *, stat: bool) -> None:
    """Count the instance towards the round that is still arriving, or open the next one: it is late."""
    arriving = select(rounds).where(rounds.c.study_key == study_key, rounds.c.state == State.ARRIVING)
    row = db.execute(arriving).first()
    if row is None:
        _open_round(db, study_key, received_at, order, stat=stat)
        return
    if order is None:
        replayed.to_live(db, row.key, _lane(db, study_key, stat=stat))
    if received_at > row.last_received_at:
        db.execute(update(rounds).where(rounds.c.key == row.key).values(last_received_at=received_at))


def _lane(db: Connection, study_key: str, *, stat: bool) -> Lane:
    """That of a round which no replay began: a study that was STAT once stays so."""
    before = select(rounds.c.key).where(rounds.c.study_key == study_key, rounds.c.lane == Lane.STAT)
    return Lane.STAT if stat or db.execute(before).first() is not None else Lane.LIVE


def _open_round(db: Connection, study_key: str, at: datetime, order: Order | None, *, stat: bool = False) -> None:
    last = db.execute(select(func.max(rounds.c.number)).where(rounds.c.study_key == study_key)).scalar() or 0
    values: dict[str, Any] = {"key": new_key(), "study_key": study_key, "number": last + 1}
    lane = _lane(db, study_key, stat=stat) if order is None else Lane.REPLAY
    db.execute(insert(rounds).values(state=State.ARRIVING, last_received_at=at, lane=lane, **values))
    if order is not None:
        replayed.begin(db, values["key"], order)


def _close(db: Connection, settled: Any, closing: Closing, now: datetime, routed: Routed | None = None) -> None:
    unread = (
        instances.c.study_key == settled.study_key,
        instances.c.kind.in_([Kind.SOURCE, Kind.CORRECTION]),
        instances.c.first_round.is_(None),
    )
    db.execute(update(instances).where(*unread).values(first_round=settled.number))
    completions.record(db, settled.key, closing, now)
    urgent = settled.lane == Lane.LIVE and routed is not None and routed(db, settled.key)
    lane = Lane.STAT if urgent else settled.lane
    move(db, settled.key, State.READY, closed_at=now, lane=lane)
    add_task(db, Work.ANALYSE, settled.key, lane, now)
