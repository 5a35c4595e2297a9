"""A replay under way: claim, fetch, have read, conclude; after each turn the ledger has all that is needed to go on."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger import Ledger, landed, planned, replays
from cxrnode.ledger.planned import Hold, Known
from cxrnode.ledger.replayed import Order
from cxrnode.ledger.replays import Replay
from cxrnode.ledger.replaytables import Step
from cxrnode.replay.fetching import Fetching, Landed
from cxrnode.replay.pace import Pace
from cxrnode.replay.settle import Settling
from cxrnode.replay.source import HELD, Fetched
from cxrnode.replay.standing import Standing

TURN_S = 0.2
NOW_AND_THEN = timedelta(seconds=20)
LATE_AFTER = timedelta(seconds=30)
"""What came late of a study is read when nothing more came for so long."""
AHEAD = 500
"""Where studies were read before, so many more are looked at with the next claim."""


class Run:
    """One run of a replay; `digests` are those of the cards that may read: what they have read already is known."""

    def __init__(
        self, ledger: Ledger, replay: Replay, fetching: Fetching, pace: Pace, digests: Collection[str]
    ) -> None:
        self._ledger, self._replay, self._fetching, self._pace = ledger, replay, fetching, pace
        self._known = Known(() if replay.again else digests, sent=replay.send)
        self._order = Order(replay.key, replay.model, replay.send)
        self._landed: list[Landed] = []
        self._now_and_then_at = datetime.min.replace(tzinfo=UTC)
        self._in_doubt = True
        self.standing = Standing(planned.steps(ledger, replay.key), planned.verdicts(ledger, replay.key))
        self._settling = Settling(ledger, self._order, pace, self.standing)

    def go(self, show: Callable[[Standing, datetime], None], stop: threading.Event) -> bool:
        """Turn until every study has its verdict, or `stop` is set and nothing is being fetched; whether it has ended.

        Raises PeerRefused and SettingsError for what would stop any study.
        """
        try:
            while self.standing.left and not (self._stops(stop) and self._fetching.idle):
                self.turn(datetime.now(UTC), begin=not self._stops(stop))
                show(self.standing, datetime.now(UTC))
                time.sleep(TURN_S)
        finally:
            self._fetching.close()
        if self._settling.refusal is not None:
            raise self._settling.refusal
        return not self.standing.left

    def turn(self, now: datetime, *, begin: bool = True) -> None:
        """Settle what was fetched, conclude what was read, begin what may be begun; later, where the ledger is away."""
        try:
            if self._in_doubt:
                self._take_stock(now)
                self._in_doubt = False
            if now >= self._now_and_then_at:
                self._look_after(now)
                self._now_and_then_at = now + NOW_AND_THEN
            self._settle_all(now)
            for verdict, studies in planned.conclude_read(self._ledger, self._replay.key, now).items():
                self.standing.conclude(Step.READING, verdict, studies)
            if begin and self._settling.refusal is None:
                self._begin(now)
        except LedgerUnavailable as error:
            self.standing.waits, self._in_doubt = str(error), True

    def _stops(self, stop: threading.Event) -> bool:
        return stop.is_set() or self._settling.refusal is not None

    def _take_stock(self, now: datetime) -> None:
        """Where it stands by the ledger, at the beginning and after the ledger was away.

        What is being fetched by the ledger, and not here, was begun by an earlier run: it is fetched again, unless it
        came whole, or nothing is to be begun now. What is here and not there any more is settled.
        """
        ledger, key = self._ledger, self._replay.key
        fetching = planned.fetching(ledger, key)
        self._landed = [one for one in self._landed if one.claim.number in fetching]
        ours = {*self._fetching.numbers, *(one.claim.number for one in self._landed)}
        self.standing.count(planned.steps(ledger, key), planned.verdicts(ledger, key))
        planned.hold(ledger, key, now + HELD)
        waits = self._waits(now)
        for claim in planned.claimed(ledger, key, fetching - ours):
            count = claim.entry.instances
            if count and planned.came(ledger, claim.entry.study) >= count:
                self._landed.append(Landed(claim, now, now, Fetched(sent=count)))
            elif waits:
                planned.put_back(ledger, claim, now, now + HELD, waits, counts=False)
                self.standing.move(Step.FETCHING, Step.WAITING)
            else:
                self._fetching.begin(claim)

    def _look_after(self, now: datetime) -> None:
        """Hold on to what is being fetched, and have read what came late."""
        if self.standing.steps[Step.FETCHING]:
            planned.hold(self._ledger, self._replay.key, now + HELD)
        landed.close_late(self._ledger, self._order, now - LATE_AFTER, now)

    def _settle_all(self, now: datetime) -> None:
        """Whatever has landed, one after the other: each is forgotten here when the ledger has it, not before."""
        for one in self._fetching.ended():
            self._landed.append(one)
            self._settling.hear(one, now)
        for one in [*self._landed]:
            if self._settling.settle(one, now):
                self._landed.remove(one)

    def _begin(self, now: datetime) -> None:
        """Claim and fetch as many studies as may be begun; those that were read before have their verdict at once."""
        self.standing.waits = self._waits(now)
        free = min(self._pace.may_begin(now, self.standing.in_flight), self._fetching.free)
        if self.standing.waits or not free or not self.standing.steps[Step.WAITING]:
            return
        hold = Hold(now + HELD, self._fetching.sender)
        claimed, read = planned.claim(self._ledger, self._replay.key, free, now, hold, self._known)
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
            at, trouble = self._pace.rests_until.astimezone(), self._settling.trouble
            return f"its source is given time until {at:%H:%M:%S}" + (f": {trouble}" if trouble else "")
        if self.standing.steps[Step.READING] >= self._pace.at_most:
            return f"{self.standing.steps[Step.READING]} are being read or sent; `cxrnode status` says where"
        return ""
