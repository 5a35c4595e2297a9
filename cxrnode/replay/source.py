"""What a replay asks of wherever its studies are: fetch one into the spool, and say what came of it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from cxrnode.plans.plan import Entry
from cxrnode.receipt import Receipt


@dataclass
class Fetched:
    """What came of one study: how many images its source has sent, and failed to."""

    sent: int = 0
    failed: int = 0
    reason: str = ""
    """why, of what failed or is absent"""
    absent: bool = False
    """its source knows no such study (any more)"""
    to_receiver: bool = False
    """it was sent to the node's receiver, and what of it the ledger knows is to be seen"""


HELD = timedelta(minutes=2)
"""So long after it was fetched what an archive still sends of a study is the replay's, though it does not say so."""


class Source(Protocol):
    """Where studies are fetched from; several at a time, in threads."""

    @property
    def sender(self) -> str:
        """The AE title of who sends to the node's receiver when it is asked; empty where nobody does."""

    def fetch(self, entry: Entry, kept: list[Receipt]) -> Fetched:
        """Fetch a study's images into the spool; `kept` gets the receipt of each that this process has kept there.

        Raises PeerUnavailable, SpoolFull, OSError: later; SettingsError: no study could be; PeerRefused: never.
        """

    def answers(self) -> bool:
        """Whether it is there at all: one that is not will have no study's attempt counted."""
