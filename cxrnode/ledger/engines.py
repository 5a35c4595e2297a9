"""A URL becomes an engine; all that SQLite and PostgreSQL do differently is here, so that a transaction is one on both.

One writer at a time, from its first statement on: "select, then insert" is safe, with any number of receivers and
workers. A reader sees one state throughout, changes nothing and waits for nobody.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url

from cxrnode.errors import LedgerUnavailable

WAIT_S = 30
"""How long a writer waits for the one before it."""
WRITER = int.from_bytes(b"cxrnode", "big")
"""The advisory lock of PostgreSQL that whoever writes holds, until its transaction ends."""
SERVER = f"-c lock_timeout={WAIT_S}s -c statement_timeout=60s -c idle_in_transaction_session_timeout={WAIT_S}s"
"""The last: a writer that is stopped, or cut off, does not hold the lock for ever."""
CLIENT = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",  # ms; keepalives say nothing of a host that was cut off in mid statement
    "application_name": "cxrnode",
}


def open_engine(given: str) -> Engine:
    """An engine for `ledger.url`, not connected yet. Raises LedgerUnavailable when it is no such URL, or has no driver.

    No statement's parameters come into an error's text: they are patient data.
    """
    if not given.startswith(("sqlite:", "postgresql:", "postgresql+psycopg:")) or given.count("@") > 1:
        raise LedgerUnavailable(
            "ledger.url is not understood; wanted sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE, "
            "a @ in the password written as %40"
        )
    url = make_url(given)
    return _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)


def _sqlite(url: URL) -> Engine:
    """WAL and synchronous=FULL: committed is durable; BEGIN IMMEDIATE: a writer waits instead of failing "locked".

    secure_delete: what is deleted is overwritten. A file that is there is not opened but by SQLite: to close it would
    drop the locks of every other connection of this process (sqlite.org/howtocorrupt.html, 2.2).
    """
    if path := url.database:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    engine = create_engine(url, connect_args={"timeout": WAIT_S}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    _begin_with(engine, reading="BEGIN", writing="BEGIN IMMEDIATE")
    return engine


def _postgresql(url: URL) -> Engine:
    """What the URL itself asks for (`?connect_timeout=3`, `&options=-c...`) goes before what is asked for here."""
    asked: dict[str, Any] = dict(url.query)
    asked["options"] = f"{SERVER} {asked.get('options', '')}"
    url = url.set(drivername="postgresql+psycopg").update_query_dict({**CLIENT, **asked})
    try:
        engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
    except ImportError as error:
        raise LedgerUnavailable(
            "ledger.url names PostgreSQL and psycopg is not installed; wanted `psycopg[binary]`"
        ) from error
    _begin_with(
        engine,
        reading="SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        writing=f"SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({WRITER})",
    )
    return engine


def _begin_with(engine: Engine, *, reading: str, writing: str) -> None:
    @event.listens_for(engine, "begin")
    def _begun(db: Connection) -> None:
        db.exec_driver_sql(reading if db.get_execution_options().get("reading") else writing)
