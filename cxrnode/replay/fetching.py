"""Studies under way into the spool: fetched in threads, and what each came to, in the order in which they ended."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from cxrnode.errors import PeerUnavailable
from cxrnode.ledger.planned import Claim
from cxrnode.receipt import Receipt
from cxrnode.replay.source import Fetched, Source


@dataclass(frozen=True)
class Landed:
    """A study whose fetching has ended: with its images, or with an error."""

    claim: Claim
    began_at: datetime
    ended_at: datetime
    fetched: Fetched | None = None
    receipts: tuple[Receipt, ...] = ()
    """of what this process has kept of it, also where an error ended it"""
    error: Exception | None = None
    source_answers: bool = True
    """of a source that gave no answer: whether it does to others"""

    @property
    def took_s(self) -> float:
        """How long it was fetched."""
        return (self.ended_at - self.began_at).total_seconds()


class Fetching:
    """So many threads, each with one study."""

    def __init__(self, source: Source, threads: int) -> None:
        self._source, self._most = source, threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="fetch")
        self._futures: dict[Future[Landed], int] = {}

    @property
    def sender(self) -> str:
        """Who sends to the node's receiver when it is asked, by its AE title."""
        return self._source.sender

    @property
    def free(self) -> int:
        """How many more may be begun."""
        return self._most - len(self._futures)

    def begin(self, claim: Claim) -> None:
        """Fetch a study."""
        self._futures[self._threads.submit(self._fetch, claim)] = claim.number

    def ended(self) -> list[Landed]:
        """Those that have ended since the last time."""
        done = [future for future in self._futures if future.done()]
        for future in done:
            del self._futures[future]
        return [future.result() for future in done]

    @property
    def numbers(self) -> frozenset[int]:
        """Those that have not, by their place in the plan."""
        return frozenset(self._futures.values())

    @property
    def idle(self) -> bool:
        """Whether nothing is being fetched, nor has ended and was not asked for."""
        return not self._futures

    def close(self) -> None:
        """Let the threads go when each has ended what it does."""
        self._threads.shutdown()

    def _fetch(self, claim: Claim) -> Landed:
        began_at, kept = datetime.now(UTC), list[Receipt]()
        fetched: Fetched | None = None
        error: Exception | None = None
        answers = True
        try:
            fetched = self._source.fetch(claim.entry, kept)
        except PeerUnavailable as unavailable:
            error, answers = unavailable, self._source.answers()
        except Exception as fault:  # noqa: BLE001  the edge of a thread; a stranger's bytes may raise anything
            error = fault
        return Landed(claim, began_at, datetime.now(UTC), fetched, tuple(kept), error, answers)
