"""The ledger's database: opened by URL, written in whole transactions; only its set-up knows SQLite."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, select, update
from sqlalchemy.exc import OperationalError

from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger.tables import MOVES, State, metadata, rounds


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
        with _away(), self._opened().begin() as db:
            yield db

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view that changes nothing and holds no writer up. Raises LedgerUnavailable."""
        with _away(), self._opened().connect().execution_options(reading=True) as db:
            yield db

    def close(self) -> None:
        """Let every connection go."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _opened(self) -> Engine:
        if self._engine is None:
            url = make_url(self._url)
            engine = _open_sqlite(url) if url.get_backend_name() == "sqlite" else create_engine(url, pool_pre_ping=True)
            metadata.create_all(engine)
            self._engine = engine
        return self._engine


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except (OperationalError, OSError) as error:
        raise LedgerUnavailable(f"the ledger does not answer: {type(error).__name__}") from error


def new_key() -> str:
    """A random key: the only name for a study, round or task outside the ledger."""
    return secrets.token_hex(16)


def move(db: Connection, round_key: str, to: State, **columns: Any) -> None:
    """Move a round to another state, the one place where this happens; a move not in MOVES is a bug and raises."""
    now = State(db.execute(select(rounds.c.state).where(rounds.c.key == round_key).with_for_update()).scalar_one())
    if to not in MOVES[now]:
        raise AssertionError(f"round {round_key} is {now} and may not become {to}")
    db.execute(update(rounds).where(rounds.c.key == round_key).values(state=to, **columns))


def _open_sqlite(url: URL) -> Engine:
    """WAL and synchronous=FULL: committed is durable; BEGIN IMMEDIATE: a writer waits instead of failing "locked"."""
    if path := url.database:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(db: Connection) -> None:
        db.exec_driver_sql("BEGIN" if db.get_execution_options().get("reading") else "BEGIN IMMEDIATE")

    return engine
