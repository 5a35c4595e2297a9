"""Where a test's ledger lies: the one place that reads LEDGER, which `make test LEDGER=postgresql` sets."""

import hashlib
import os
from pathlib import Path

from tests import postgres

SQLITE, POSTGRESQL = "sqlite", "postgresql"
LEDGER = os.environ.get("LEDGER", SQLITE)
if LEDGER not in {SQLITE, POSTGRESQL}:
    raise ValueError(f"LEDGER = {LEDGER!r}; wanted {SQLITE} or {POSTGRESQL}")
KINDS = (SQLITE, POSTGRESQL) if LEDGER == SQLITE else (LEDGER,)
"""What the ledger's own tests run on: both, unless all the others run on PostgreSQL."""
made: list[str] = []
"""The names of the databases that the present test has made; tests/conftest.py drops them after it."""


def ledger_url(state: Path, kind: str = LEDGER) -> str:
    """The ledger of a node with its state in this folder, the same each time; on SQLite the file it has by default."""
    if kind == SQLITE:
        return f"sqlite:///{state.absolute() / 'ledger.sqlite'}"
    name = f"test_{hashlib.sha256(str(state.absolute()).encode()).hexdigest()[:16]}"
    made.append(name)
    return postgres.server().database(name)


def drop_made() -> None:
    """Remove the databases that were made."""
    while made:
        postgres.server().drop(made.pop())
