"""What was seen before, of any number of names, without the memory for them."""

import secrets
import sqlite3
from hashlib import blake2b
from typing import Self


class Seen:
    """Names that came before, as digests in a temporary file that is gone with the process."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)  # the file tells nobody which studies
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def first_time(self, name: str) -> bool:
        """Whether this is seen for the first time."""
        digest = blake2b(name.encode(), key=self._key, digest_size=16).digest()
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (digest,)).rowcount == 1
