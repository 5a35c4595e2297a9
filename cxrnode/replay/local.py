"""Studies that need no network: files, each opened when its turn comes, and what the node has already."""

from dataclasses import dataclass
from datetime import UTC, datetime

from cxrnode.errors import Unreadable
from cxrnode.plans.filed import open_file
from cxrnode.plans.plan import Entry
from cxrnode.receipt import Receipt
from cxrnode.receiving.intake import keep, receipt_of
from cxrnode.replay.source import Fetched
from cxrnode.spool import Spool


@dataclass(frozen=True)
class Files:
    """Files, each opened when its turn comes; `calling_ae` stands for the sender that a file cannot tell."""

    spool: Spool
    replay: str
    largest: int
    calling_ae: str = ""

    sender = ""

    def fetch(self, entry: Entry, kept: list[Receipt]) -> Fetched:
        """Every file that can be read; the others count as failed."""
        fetched = Fetched()
        for name in entry.files:
            try:
                content = open_file(name, self.largest, entry.study)
                receipt = receipt_of(self.spool, content, self.calling_ae, self.replay, datetime.now(UTC))
            except Unreadable as error:
                fetched.failed += 1
                fetched.reason = str(error)
            else:
                kept.append(keep(self.spool, content, receipt))
                fetched.sent += 1
        return fetched

    def answers(self) -> bool:
        """Always: a file that is gone is its study's own fault."""
        return True


@dataclass(frozen=True)
class Kept:
    """What the node has."""

    sender = ""

    def fetch(self, _entry: Entry, _kept: list[Receipt]) -> Fetched:
        """Nothing: it is there."""
        return Fetched()

    def answers(self) -> bool:
        """Always."""
        return True
