"""The ledger's database: opened by URL at its first use, written in whole transactions, away or not."""

import secrets
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, make_url, select, update
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger.engines import open_engine
from cxrnode.ledger.states import MOVES, State
from cxrnode.ledger.tables import rounds
from cxrnode.ledger.upgrade import bring_up_to_date

TROUBLE = (OperationalError, InterfaceError, InternalError)
"""The database's own trouble (PEP 249), not a statement's: it restarts, is full or read-only, let us wait too long."""


class Ledger:
    """One database, opened at its first use; one Ledger a process (never used before a fork)."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: Engine | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed on leaving, or rolled back when anything is raised.

        Raises LedgerUnavailable when the database cannot be opened or does not answer.
        """
        with self._away(), self._opened().begin() as db:
            yield db

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view that changes nothing and holds no writer up. Raises LedgerUnavailable."""
        with self._away(), self._opened().connect().execution_options(reading=True) as db:
            yield db

    def close(self) -> None:
        """Let every connection go."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _opened(self) -> Engine:
        if self._engine is None:
            engine = open_engine(self._url)
            try:
                bring_up_to_date(engine)
            except BaseException:
                engine.dispose()
                raise
            weakref.finalize(self, engine.dispose)  # a command that ends says goodbye to the server
            self._engine = engine
        return self._engine

    @contextmanager
    def _away(self) -> Iterator[None]:
        """A database that is not there, or went away, is LedgerUnavailable; what it says, but never its password."""
        try:
            yield
        except (DBAPIError, PoolTimeout, OSError) as error:
            if isinstance(error, DBAPIError) and not _is_trouble(error):
                raise
            said = str(error.orig if isinstance(error, DBAPIError) else error).partition("\n")[0]
            password = make_url(self._url).password
            told = said.replace(str(password), "***") if password else said
            raise LedgerUnavailable(f"the ledger does not answer: {told}") from error


def _is_trouble(error: DBAPIError) -> bool:
    """Whether it is the database's own; of a damaged SQLite file DatabaseError itself tells, and none of its kinds."""
    return isinstance(error, TROUBLE) or type(error) is DatabaseError or error.connection_invalidated


def new_key() -> str:
    """A random key: the only name for a study, round or task outside the ledger."""
    return secrets.token_hex(16)


def move(db: Connection, round_key: str, to: State, **columns: Any) -> None:
    """Move a round to another state, the one place where this happens; a move not in MOVES is a bug and raises."""
    now = State(db.execute(select(rounds.c.state).where(rounds.c.key == round_key)).scalar_one())
    if to not in MOVES[now]:
        raise AssertionError(f"round {round_key} is {now} and may not become {to}")
    db.execute(update(rounds).where(rounds.c.key == round_key).values(state=to, **columns))
