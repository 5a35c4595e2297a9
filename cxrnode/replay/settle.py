"""What becomes of a study whose fetching has ended: it is read, fetched again later, or has its verdict."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cxrnode.errors import CxrNodeError, PeerRefused, PeerUnavailable, SettingsError, SpoolFull
from cxrnode.ledger import Ledger, arrivals, landed, planned
from cxrnode.ledger.completions import Closing, Reason
from cxrnode.ledger.landed import Closed
from cxrnode.ledger.replayed import Order
from cxrnode.ledger.replaytables import Step
from cxrnode.log import logger
from cxrnode.plans.plan import Verdict
from cxrnode.replay.fetching import Landed
from cxrnode.replay.pace import Pace
from cxrnode.replay.source import HELD, Fetched
from cxrnode.replay.standing import Standing

LOG = logger("replay")
ARRIVES_WITHIN, SOON = timedelta(seconds=60), timedelta(seconds=5)
"""In so long the ledger knows of all that an archive has sent to the receiver; and of the first of it."""
AGAIN_AFTER = timedelta(seconds=30)
MOST_FETCHES = 3
"""How often a study is fetched that does not come whole, from a source that answers."""
IN_A_ROW = 3
"""After so many studies that were refused one after the other the source is given time, as if it had not answered."""
FOR_ALL = (0xA801, 0x0122, 0x0124, 401, 403)
"""Move destination unknown, SOP class not supported, not authorised (PS3.4 Table C.4-2, PS3.7 Annex C; the last by HTTP
too): before anything was fetched it is what any study would be refused for, and ends the run.
"""


@dataclass(frozen=True)
class Trouble:
    """Why a study did not come, or not all of it; it `counts` where the study may be to blame."""

    reason: str
    counts: bool = True


class Settling:
    """Decides and notes; `refusal` is what ends the run, `trouble` the last reason why a study did not come."""

    def __init__(self, ledger: Ledger, order: Order, pace: Pace, standing: Standing) -> None:
        self._ledger, self._order, self._pace, self._standing = ledger, order, pace, standing
        self._refused, self._fetched_any = 0, False
        self.refusal: CxrNodeError | None = None
        self.trouble = ""

    def hear(self, one: Landed, now: datetime) -> None:
        """What a study's fetching tells of its source: how fast it is, whether it is there, what it refuses."""
        match one.error:
            case None if one.fetched is not None and one.fetched.failed and not one.fetched.sent:
                self._refused += 1
            case None:
                self._pace.fetched(one.took_s, now)
                self._fetched_any, self._refused = True, 0
            case PeerUnavailable() | SpoolFull() | OSError():
                self._pace.failed(now)
            case PeerRefused() as error if error.status in FOR_ALL and not self._fetched_any:
                self.refusal = error
            case SettingsError() as error:
                self.refusal = error
            case CxrNodeError():
                self._refused += 1
            case error:
                LOG.error("fetching failed", number=one.claim.number, reason=type(error).__name__)
        if self._refused >= IN_A_ROW:
            self._pace.failed(now)

    def settle(self, one: Landed, now: datetime) -> bool:
        """Settle one study; False: not yet."""
        fetched = one.fetched or Fetched()
        if fetched.absent:
            return self._absent(one, fetched, now)
        missing = self._missing(one, fetched)
        if missing and now < one.ended_at + ARRIVES_WITHIN:
            return False
        trouble = self._trouble(one, fetched, missing)
        if trouble is not None:
            self.trouble = trouble.reason
            if not trouble.counts or one.claim.attempts < MOST_FETCHES:
                return self._again(one, trouble, now)
            if one.error is not None:
                return self._broken_off(one, trouble, now)
        expected = fetched.sent + fetched.failed
        reason = Reason.REPLAYED if trouble is None else Reason.INCOMPLETE
        closing = Closing(reason, expected, fetched.sent - missing)
        closed = landed.close(self._ledger, one.claim, self._order, one.receipts, closing, now)
        if closed is Closed.NOTHING:
            told = (Verdict.FAILED, trouble.reason) if trouble else (Verdict.NOT_FOUND, "The node has no image of it.")
            return self._conclude(one, *told, now)
        return self._closed(closed)

    def _missing(self, one: Landed, fetched: Fetched) -> int:
        """How many images were sent to the receiver that the ledger does not know."""
        if not fetched.to_receiver:
            return 0
        return max(0, fetched.sent - planned.came(self._ledger, one.claim.entry.study))

    def _trouble(self, one: Landed, fetched: Fetched, missing: int) -> Trouble | None:
        error = one.error
        if error is None:
            told = fetched.reason or f"{missing} images that its source says it sent are not here"
            return Trouble(told) if fetched.failed or missing else None
        if isinstance(error, PeerUnavailable):
            return Trouble(str(error), counts=one.source_answers)
        if isinstance(error, CxrNodeError):
            return Trouble(str(error), counts=error is not self.refusal and not isinstance(error, SpoolFull))
        if isinstance(error, OSError):
            return Trouble(f"the disk: {error.strerror}", counts=False)
        return Trouble(f"internal fault: {type(error).__name__}")

    def _again(self, one: Landed, trouble: Trouble, now: datetime) -> bool:
        """Fetch it again later; what came of it meanwhile is the replay's."""
        arrivals.note(self._ledger, one.receipts)
        due_at = now + AGAIN_AFTER * trouble.counts
        planned.put_back(self._ledger, one.claim, due_at, due_at + HELD, trouble.reason, counts=trouble.counts)
        self._standing.move(Step.FETCHING, Step.WAITING)
        return True

    def _absent(self, one: Landed, fetched: Fetched, now: datetime) -> bool:
        """Its source told of no image: there is none, or it does not tell how many it has sent (PS3.4 C.4.2.1.6)."""
        if fetched.to_receiver and now < one.ended_at + SOON:
            return False
        closing = Closing(Reason.REPLAYED, None, 0)
        closed = landed.close_begun(self._ledger, one.claim, self._order, closing, now)
        if closed is Closed.NOTHING:
            return self._conclude(one, Verdict.NOT_FOUND, fetched.reason, now)
        return self._closed(closed)

    def _broken_off(self, one: Landed, trouble: Trouble, now: datetime) -> bool:
        """Given up: what came of it is read as it is."""
        arrivals.note(self._ledger, one.receipts)
        closing = Closing(Reason.INCOMPLETE, None, 0)
        closed = landed.close_begun(self._ledger, one.claim, self._order, closing, now)
        if closed is Closed.NOTHING:
            return self._conclude(one, Verdict.FAILED, f"Not fetched: {trouble.reason}", now)
        return self._closed(closed)

    def _closed(self, closed: Closed) -> bool:
        if closed is Closed.DONE:
            self._standing.move(Step.FETCHING, Step.READING)
        return closed is Closed.DONE

    def _conclude(self, one: Landed, verdict: Verdict, reason: str, now: datetime) -> bool:
        planned.conclude(self._ledger, one.claim, verdict, reason, now)
        self._standing.conclude(Step.FETCHING, verdict)
        return True
