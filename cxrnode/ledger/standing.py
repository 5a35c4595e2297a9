"""Whose results stand: a later round that says nothing new makes none of its own (the rule is cxrnode/late.py's)."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, exists, select

from cxrnode.ledger.tables import gists, rounds


def repeats(round_key: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the round with this key made no results of its own, because earlier ones stand."""
    return exists().where(gists.c.round_key == round_key, gists.c.stands_on.is_not(None))


def stood_on(db: Connection, study_key: str) -> dict[str, str]:
    """Each round of a study that made no results of its own, with the one whose results stand."""
    joined = select(gists).join(rounds, rounds.c.key == gists.c.round_key)
    rows = db.execute(joined.where(rounds.c.study_key == study_key, gists.c.stands_on.is_not(None)))
    return {row.round_key: row.stands_on for row in rows}


def nothing_new(number: int | None) -> str:
    """That a round has nothing to say beside this earlier one; empty where there is none."""
    return "" if number is None else f"nothing new to read: the results of round {number} stand"


def standing_numbers(db: Connection, round_keys: Collection[str]) -> dict[str, int]:
    """Of each of these rounds that made no results of its own, the number of the earlier one whose results stand."""
    joined = rounds.join(gists, gists.c.stands_on == rounds.c.key)
    wanted = select(gists.c.round_key, rounds.c.number).select_from(joined).where(gists.c.round_key.in_(round_keys))
    return {row.round_key: row.number for row in db.execute(wanted)}


def standing_number(db: Connection, round_key: str) -> int | None:
    """The number of the earlier round whose results stand; None where a round has its own, or none at all."""
    return standing_numbers(db, [round_key]).get(round_key)
