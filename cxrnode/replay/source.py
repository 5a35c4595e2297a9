"""What a replay asks of wherever its studies are: fetch one into the spool, and say what came of it."""

from dataclasses import dataclass, field
from typing import Protocol

from cxrnode.plan import Entry
from cxrnode.spool import Receipt


@dataclass
class Fetched:
    """What came of one study: what this process kept of it, and how many images its source has sent and failed to."""

    receipts: list[Receipt] = field(default_factory=list)
    sent: int = 0
    failed: int = 0
    reason: str = ""
    """why, of what failed or is absent"""
    absent: bool = False
    """its source knows no such study (any more)"""
    to_receiver: bool = False
    """it was sent to the node's receiver, and what of it the ledger knows is to be seen"""


class Source(Protocol):
    """Where studies are fetched from; several at a time, in threads."""

    def fetch(self, entry: Entry) -> Fetched:
        """Fetch a study's images into the spool.

        Raises PeerUnavailable, SpoolFull: later; PeerRefused: never.
        """

    def answers(self) -> bool:
        """Whether it is there at all: one that is not will have no study's attempt counted."""
