"""Who sits in the receiver: a place for each association, in memory that all processes that take associations share."""

import hashlib
import mmap
from copy import copy
from multiprocessing import get_context

DIGEST = 16
"""Bytes of a place: zero where it is free, else a digest of who sits there."""
FREE = bytes(DIGEST)
ROOM = 1000
"""Places that may ever be had: as many as the settings allow."""


class NoSeatError(Exception):
    """Why there is none."""


class Seats:
    """So many places in all; made before the processes are, and held by them together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._places = mmap.mmap(-1, ROOM * DIGEST)
        self._lock = get_context("fork").Lock()

    def of(self, most: int) -> "Seats":
        """The same places, of which from now on so many may be had: who sits there stays."""
        others = copy(self)
        others._most = most  # noqa: SLF001  of its own kind
        return others

    def take(self, calling_ae: str, address: str, most_per_sender: int) -> int:
        """A place for this sender, which may have so many, to be left again. Raises NoSeatError."""
        who = hashlib.blake2b(f"{calling_ae}\n{address}".encode(), digest_size=DIGEST).digest()
        with self._lock:
            sitting = [self._places[at : at + DIGEST] for at in range(0, ROOM * DIGEST, DIGEST)]
            if ROOM - sitting.count(FREE) >= self._most:
                raise NoSeatError("too many associations")
            if sitting.count(who) >= most_per_sender:
                raise NoSeatError("too many associations of this AE title and address")
            place = sitting.index(FREE)
            self._places[place * DIGEST : (place + 1) * DIGEST] = who
            return place

    def leave(self, place: int) -> None:
        """Let another have this place."""
        with self._lock:
            self._places[place * DIGEST : (place + 1) * DIGEST] = FREE
