"""A database for one piece of work, in a file that has no name any more: it is gone with the process that uses it."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cxrnode.errors import SpoolFull

CACHE_KB = 32_000


@contextmanager
def scratch(folder: Path) -> Iterator[sqlite3.Connection]:
    """An empty SQLite database on the disk of `folder`, for one transaction that is never committed.

    Its file has mode 0600 and loses its name at once. It takes some 40 MB of memory, however large it grows. Raises
    SpoolFull where the disk has no room, or the folder cannot be written to.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".scratch-", dir=folder)  # made with mode 0600
        os.close(handle)
    except OSError as error:
        raise SpoolFull(f"{folder}: no file can be made there ({error.strerror}); wanted room for a list") from error
    try:
        with closing(sqlite3.connect(name, isolation_level=None, check_same_thread=False)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")  # with a journal SQLite would look for the file's name
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA temp_store = MEMORY")  # else sorting leaves its files in /tmp
            connection.execute(f"PRAGMA cache_size = -{CACHE_KB}")
            connection.execute("BEGIN IMMEDIATE")
            Path(name).unlink()
            yield connection
    except sqlite3.OperationalError as error:
        raise SpoolFull(f"{folder}: the list there cannot grow ({error}); wanted more room on its disk") from error
    finally:
        Path(name).unlink(missing_ok=True)
