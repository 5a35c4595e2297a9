"""What counts as read before: of each study the latest reading by such a card, where that still stands.

It does not where its results were withdrawn, where not all of the study had come, or where no destination has taken
them or will. A reading whose results nobody wanted stands; so does one that another model's results have superseded.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, func, select

from cxrnode.finding import Outcome
from cxrnode.ledger.completions import Reason
from cxrnode.ledger.replayed import unsent
from cxrnode.ledger.states import TAKEN, Fate, State
from cxrnode.ledger.tables import cards, completions, deliveries, gists, objects, rounds, studies, withdrawals
from cxrnode.uids import Role

ARRIVES = frozenset({*TAKEN, Fate.DUE, Fate.SUPERSEDED})
"""The fates of what a destination has, will have, or would have had, had not something later taken its place"""


def latest_read(
    db: Connection, study_instance_uids: Collection[str], digests: Collection[str], *, sent: bool
) -> dict[str, Row[tuple[Any, ...]]]:
    """Of each study that a card of one of these digests has read, and not failed to, the latest such round.

    With `sent` a round does not count of which nothing was to be sent, or was taken. Each row is a round's, with its
    `study_instance_uid`, and as `bearer` the key of the round whose results stand for it: its own, or an earlier one's.
    """
    if not digests:
        return {}
    joined = (
        rounds.join(cards, cards.c.round_key == rounds.c.key)
        .join(studies, studies.c.key == rounds.c.study_key)
        .outerjoin(gists, gists.c.round_key == rounds.c.key)
    )
    bearer = func.coalesce(gists.c.stands_on, rounds.c.key).label("bearer")
    read = (rounds.c.state.in_([State.ANALYSED, State.FINISHED]), rounds.c.outcome != Outcome.FAILED)
    mine = (cards.c.digest.in_(digests), studies.c.study_instance_uid.in_(study_instance_uids), *read)
    wanted = [~unsent(rounds.c.key)] if sent else []
    found = select(rounds, studies.c.study_instance_uid, bearer).select_from(joined).where(*mine, *wanted)
    latest = {row.study_instance_uid: row for row in db.execute(found.order_by(rounds.c.number))}
    bearers = {row.bearer for row in latest.values()}
    fallen = _withdrawn(db, bearers) | (_not_taken(db, bearers) if sent else set())
    not_whole = _not_whole(db, {row.key for row in latest.values()})
    return {uid: row for uid, row in latest.items() if row.bearer not in fallen and row.key not in not_whole}


def _withdrawn(db: Connection, round_keys: Collection[str]) -> set[str]:
    return set(db.execute(select(withdrawals.c.round_key).where(withdrawals.c.round_key.in_(round_keys))).scalars())


def _not_whole(db: Connection, round_keys: Collection[str]) -> set[str]:
    closed = (completions.c.round_key.in_(round_keys), completions.c.reason == Reason.INCOMPLETE)
    return set(db.execute(select(completions.c.round_key).where(*closed)).scalars())


def _not_taken(db: Connection, round_keys: Collection[str]) -> set[str]:
    """The rounds whose report, or where none was to be sent whose other results, no destination has or will have."""
    sent = select(objects.c.round_key, objects.c.role, deliveries.c.fate).join(
        deliveries, deliveries.c.sop_instance_uid == objects.c.sop_instance_uid
    )
    fates: dict[bool, dict[str, set[str]]] = {True: defaultdict(set), False: defaultdict(set)}
    for row in db.execute(sent.where(objects.c.round_key.in_(round_keys), objects.c.role != Role.REJECTION).distinct()):
        fates[row.role == Role.REPORT][row.round_key].add(row.fate)
    return {key for key, there in (fates[False] | fates[True]).items() if not there & ARRIVES}
