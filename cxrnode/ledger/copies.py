"""A copy of the ledger in a file, and a ledger made from one: SQLite's online backup, PostgreSQL's pg_dump.

Either is the ledger of one moment, taken while others write, and holds nobody up. It is patient data: mode 0600.
"""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, inspect, make_url
from sqlalchemy.exc import DBAPIError

from cxrnode.errors import LedgerUnavailable, SettingsError
from cxrnode.ledger.engines import WAIT_S, open_engine
from cxrnode.whole import for_its_owner, sync_folder

NAMES = {"sqlite": "ledger.sqlite", "postgresql": "ledger.dump"}
"""What a copy is called, by what its ledger lies on."""


def name_of_copy(url: str) -> str:
    """What a copy of the ledger with this URL is called."""
    return NAMES[make_url(url).get_backend_name()]


def copy_out(url: str, file: Path) -> None:
    """Write the ledger as it is at this moment into a new file. Raises LedgerUnavailable, SettingsError, OSError."""
    with open(file, "xb", opener=for_its_owner):
        pass
    given = make_url(url)
    if given.get_backend_name() == "sqlite":
        _copy_sqlite(Path(given.database or ""), file)
    else:
        _run("pg_dump", given, "--format=custom", "--no-owner", "--no-privileges", f"--file={file}")


def copy_in(file: Path, url: str) -> None:
    """Make the ledger from a copy, all or nothing; it must be `empty`. Raises LedgerUnavailable, SettingsError."""
    given = make_url(url)
    if given.get_backend_name() != "sqlite":
        _run("pg_restore", given, "--single-transaction", "--no-owner", "--no-privileges", str(file))
        return
    ledger = Path(given.database or "")
    ledger.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = ledger.with_name(f"{ledger.name}.restoring")
    draft.unlink(missing_ok=True)
    with file.open("rb") as source, open(draft, "xb", opener=for_its_owner) as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
    ledger.hardlink_to(draft)  # fails where there is one by now
    draft.unlink()
    sync_folder(ledger.parent)


def empty(url: str) -> bool:
    """Whether there is no ledger at this URL: no file, or a database without tables. Raises LedgerUnavailable.

    A log that an earlier file has left counts as a ledger: SQLite would write it into the next one.
    """
    given = make_url(url)
    if given.get_backend_name() == "sqlite":
        return not any(Path(f"{given.database}{end}").exists() for end in ("", "-wal", "-shm"))
    engine = open_engine(url)
    try:
        with engine.connect().execution_options(reading=True) as db:
            return not inspect(db).get_table_names()
    except DBAPIError as error:
        raise LedgerUnavailable(f"the ledger does not answer: {str(error.orig).partition(chr(10))[0]}") from error
    finally:
        engine.dispose()


def _copy_sqlite(ledger: Path, file: Path) -> None:
    """In one step, which sees one state however many write: SQLite begins anew where it is asked for in several."""
    if not ledger.exists():
        raise LedgerUnavailable(f"the ledger does not answer: {ledger} is not there")
    try:
        with (
            closing(sqlite3.connect(ledger, timeout=WAIT_S)) as source,
            closing(sqlite3.connect(file)) as target,
        ):
            source.backup(target)
            (found,) = target.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise LedgerUnavailable(f"the ledger cannot be copied: {error}") from error
    if found != "ok":
        raise LedgerUnavailable(f"the ledger cannot be copied: it is damaged ({found})")
    with file.open("rb") as copied:
        os.fsync(copied.fileno())


def _run(name: str, url: URL, *arguments: str) -> None:
    """One of PostgreSQL's own programs; the password goes by the environment: a command line is for all to read."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    program = shutil.which(name)
    if program is None:
        raise SettingsError(f"no {name} on PATH; wanted PostgreSQL's client programs, of the server's version or later")
    parts = conninfo_to_dict(url.set(drivername="postgresql").render_as_string(hide_password=False))
    password = parts.pop("password", None)
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    command = [program, f"--dbname={make_conninfo('', **parts)}", "--no-password", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603  no shell
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"])[0]
        raise LedgerUnavailable(f"the ledger cannot be copied: {said}")
