"""A replay under way: claim, fetch, have read, conclude; after each turn the ledger has all that is needed to go on."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cxrnode.errors import CxrNodeError, LedgerUnavailable, PeerRefused, PeerUnavailable, SpoolFull
from cxrnode.ledger import Ledger, arrivals, planned, replays
from cxrnode.ledger.completions import Closing, Reason
from cxrnode.ledger.planned import Known
from cxrnode.ledger.replayed import Order
from cxrnode.ledger.replays import Replay
from cxrnode.ledger.replaytables import Step
from cxrnode.log import logger
from cxrnode.plan import Verdict
from cxrnode.replay.fetching import Fetching, Landed
from cxrnode.replay.pace import Pace
from cxrnode.replay.source import Fetched
from cxrnode.replay.standing import Standing

LOG = logger("replay")
TURN_S = 0.2
HELD, HOLD_EVERY = timedelta(minutes=2), timedelta(seconds=20)
"""So long after the end of a run what still arrives of a study that was being fetched is the replay's."""
ARRIVES_WITHIN = timedelta(seconds=60)
"""In so long the ledger knows of all that an archive has sent to the receiver."""
FETCHED_AGAIN_AFTER = timedelta(seconds=30)
MOST_STARTS = 10
"""How often a study is begun to be fetched by runs that were killed while it was."""
MOST_FETCHES = 3
"""How often a study is fetched that does not come whole, from a source that answers."""
AHEAD = 500
"""Where studies were read before, so many more are looked at with the next claim."""
FOR_ALL = (0xA801, 0x0122, 0x0124, 401, 403)
"""Move destination unknown, SOP class not supported, not authorised (PS3.4 Table C.4-2, PS3.7 Annex C; the last by HTTP
too): what any study would be refused for; it ends the run, and no study.
"""


class Run:
    """One run of a replay; `digests` are those of the cards that may read: what they have read already is known."""

    def __init__(
        self, ledger: Ledger, replay: Replay, fetching: Fetching, pace: Pace, digests: Collection[str]
    ) -> None:
        self._ledger, self._replay, self._fetching, self._pace = ledger, replay, fetching, pace
        self._known = Known(() if replay.again else digests, sent=replay.send)
        self._order = Order(replay.key, replay.model, replay.send)
        self._ended: list[Landed] = []
        self._landed: list[Landed] = []
        self._in_doubt = True
        self._hold_at = datetime.min.replace(tzinfo=UTC)
        self._refusal: PeerRefused | None = None
        self._trouble = ""
        self.standing = Standing(planned.steps(ledger, replay.key), planned.verdicts(ledger, replay.key))

    def go(self, show: Callable[[Standing, datetime], None], stop: threading.Event) -> bool:
        """Turn until every study has its verdict, or `stop` is set and nothing is being fetched; whether it has ended.

        Raises PeerRefused where the source refuses what it would refuse for any study.
        """
        try:
            while self.standing.left and not (self._stops(stop) and self._fetching.idle):
                self.turn(datetime.now(UTC), begin=not self._stops(stop))
                show(self.standing, datetime.now(UTC))
                time.sleep(TURN_S)
        finally:
            self._fetching.close()
        if self._refusal is not None:
            raise self._refusal
        return not self.standing.left

    def turn(self, now: datetime, *, begin: bool = True) -> None:
        """Settle what was fetched, conclude what was read, begin what may be begun; later, where the ledger is away."""
        try:
            if self._in_doubt:
                self._take_stock(now)
                self._in_doubt = False
            self._turn(now, begin=begin)
        except LedgerUnavailable as error:
            self.standing.waits, self._in_doubt = str(error), True

    def _turn(self, now: datetime, *, begin: bool) -> None:
        if now >= self._hold_at and self.standing.steps[Step.FETCHING]:
            planned.hold(self._ledger, self._replay.key, now + HELD)
            self._hold_at = now + HOLD_EVERY
        self._ended += self._fetching.ended()
        while self._ended:
            self._note(self._ended[0], now)
            self._ended.pop(0)  # not before the ledger has it
        for landed in [*self._landed]:
            if self._settle(landed, now):
                self._landed.remove(landed)
        for verdict, studies in planned.conclude_read(self._ledger, self._replay.key, now).items():
            self.standing.conclude(Step.READING, verdict, studies)
        if begin and self._refusal is None:
            self._begin(now)

    def _take_stock(self, now: datetime) -> None:
        """Where it stands by the ledger, at the beginning and after the ledger was away.

        What is being fetched by the ledger, and not here, was begun by an earlier run: it is fetched again, unless it
        came whole. What is here and not there any more is settled.
        """
        ledger, replay = self._ledger, self._replay.key
        fetching = planned.fetching(ledger, replay)
        self._ended = [one for one in self._ended if one.claim.number in fetching]
        self._landed = [one for one in self._landed if one.claim.number in fetching]
        ours = {*self._fetching.numbers, *(one.claim.number for one in (*self._ended, *self._landed))}
        self.standing.count(planned.steps(ledger, replay), planned.verdicts(ledger, replay))
        for claim in planned.claim_again(ledger, replay, fetching - ours, now + HELD):
            count = claim.entry.instances
            if count and planned.came(ledger, claim.entry.study) >= count:
                self._landed.append(Landed(claim, now, now, Fetched(sent=count)))
            elif claim.attempts > MOST_STARTS:
                reason = f"Not fetched: it was begun {claim.attempts - 1} times, and no run came to its end with it."
                self._conclude(Landed(claim, now, now), Verdict.FAILED, reason, now)
            else:
                self._fetching.begin(claim)

    def _stops(self, stop: threading.Event) -> bool:
        return stop.is_set() or self._refusal is not None

    def _note(self, landed: Landed, now: datetime) -> None:
        """A study whose fetching has ended: with images it is settled, else it waits, or has its verdict."""
        match landed.error:
            case None:
                self._pace.fetched(landed.took_s, now)
                self._landed.append(landed)
            case PeerUnavailable() as error:
                self._pace.failed(now)
                self._again(landed, str(error), now, counts=landed.source_answers)
            case SpoolFull() as error:
                self._pace.failed(now)
                self._again(landed, str(error), now, counts=False)
            case PeerRefused() as error if error.status in FOR_ALL:
                self._refusal = error
                self._again(landed, str(error), now, counts=False)
            case CxrNodeError() as error:
                self._again(landed, str(error), now)
            case error:
                LOG.error("fetching failed", number=landed.claim.number, reason=type(error).__name__)
                self._again(landed, f"internal fault: {type(error).__name__}", now)

    def _settle(self, landed: Landed, now: datetime) -> bool:
        """Have a fetched study read; False: not yet."""
        fetched, claim = landed.fetched or Fetched(), landed.claim
        if fetched.absent:
            self._conclude(landed, Verdict.NOT_FOUND, fetched.reason, now)
            return True
        missing = 0
        if fetched.to_receiver:
            missing = max(0, fetched.sent - planned.came(self._ledger, claim.entry.study))
            if missing and now < landed.ended_at + ARRIVES_WITHIN:
                return False
        failed = fetched.failed + missing
        reason = fetched.reason or (f"{missing} images that its source says it sent are not here" if missing else "")
        if failed and claim.attempts < MOST_FETCHES:
            arrivals.note(self._ledger, fetched.receipts)
            self._again(landed, reason, now)
            return True
        expected = fetched.sent + fetched.failed
        closing = Closing(Reason.INCOMPLETE if failed else Reason.REPLAYED, expected, expected - failed)
        closed = planned.close(self._ledger, claim, self._order, fetched.receipts, closing, now)
        if closed:
            self.standing.move(Step.FETCHING, Step.READING)
        elif closed is None:
            verdict, told = (Verdict.FAILED, reason) if failed else (Verdict.NOT_FOUND, "The node has no image of it.")
            self._conclude(landed, verdict, told, now)
        return closed is not False

    def _again(self, landed: Landed, reason: str, now: datetime, *, counts: bool = True) -> None:
        """Fetch it again later, or give it up where it was fetched often enough."""
        if counts and landed.claim.attempts >= MOST_FETCHES:
            self._conclude(landed, Verdict.FAILED, f"Not fetched: {reason}", now)
            return
        due_at = now + FETCHED_AGAIN_AFTER * counts
        planned.put_back(self._ledger, landed.claim, due_at, due_at + HELD, reason, counts=counts)
        self.standing.move(Step.FETCHING, Step.WAITING)
        self._trouble = reason

    def _conclude(self, landed: Landed, verdict: Verdict, reason: str, now: datetime) -> None:
        planned.conclude(self._ledger, landed.claim, verdict, reason, now)
        self.standing.conclude(Step.FETCHING, verdict)

    def _begin(self, now: datetime) -> None:
        """Claim and fetch as many studies as may be begun; those that were read before have their verdict at once."""
        self.standing.waits = self._waits(now)
        free = min(self._pace.may_begin(now, self.standing.in_flight), self._fetching.free)
        if self.standing.waits or not free or not self.standing.steps[Step.WAITING]:
            return
        claimed, read = planned.claim(self._ledger, self._replay.key, free, now, now + HELD, self._known)
        self._known = replace(self._known, ahead=AHEAD if read else 0)
        for verdict, studies in read.items():
            self.standing.conclude(Step.WAITING, verdict, studies)
            self.standing.read_before += studies
        self._pace.began(len(claimed), now)
        for claim in claimed:
            self.standing.move(Step.WAITING, Step.FETCHING)
            self._fetching.begin(claim)

    def _waits(self, now: datetime) -> str:
        """Why nothing is begun just now."""
        if replays.paused(self._ledger, self._replay.key):
            return "paused; `cxrnode resume` goes on"
        if not self._pace.is_open(now):
            return "outside its window"
        if self._pace.rests_until is not None and now < self._pace.rests_until:
            at = self._pace.rests_until.astimezone()
            return f"its source is given time until {at:%H:%M:%S}" + (f": {self._trouble}" if self._trouble else "")
        return ""
