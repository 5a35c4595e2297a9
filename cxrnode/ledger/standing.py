"""Whose results stand: a later round that says nothing new makes none of its own (the rule is cxrnode/late.py's)."""

from sqlalchemy import Connection, Select, select

from cxrnode.ledger.tables import gists, rounds


def repeating() -> Select[tuple[str]]:
    """The rounds that made no results of their own, because earlier ones stand."""
    return select(gists.c.round_key).where(gists.c.stands_on.is_not(None))


def stood_on(db: Connection) -> dict[str, str]:
    """Each round that made no results of its own, with the one whose results stand."""
    rows = db.execute(select(gists).where(gists.c.stands_on.is_not(None)))
    return {row.round_key: row.stands_on for row in rows}


def nothing_new(number: int | None) -> str:
    """That a round has nothing to say beside this earlier one; empty where there is none."""
    return "" if number is None else f"nothing new to read: the results of round {number} stand"


def standing_number(db: Connection, round_key: str) -> int | None:
    """The number of the earlier round whose results stand; None where a round has its own, or none at all."""
    joined = rounds.join(gists, gists.c.stands_on == rounds.c.key)
    return db.execute(select(rounds.c.number).select_from(joined).where(gists.c.round_key == round_key)).scalar()
