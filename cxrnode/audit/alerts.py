"""Security alerts of those who were not let in; a flood of one kind is told once a minute, with how many there were."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

from cxrnode.audit.recorder import Recorder

EVERY = timedelta(minutes=1)
Kind = tuple[str, str, str]
MOST_KINDS = 32
"""that are told within a minute: a stranger may call himself otherwise each time, and no file of the trail goes"""
OTHERS = ("", "", "somebody else was refused, too many within the minute to tell each by name and address")


class Alerts:
    """Who was refused, by AE title, address and reason; any thread may tell it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder, self._lock = recorder, threading.Lock()
        self._told_at: dict[Kind, datetime] = {}
        self._more: Counter[Kind] = Counter()
        self._waits = False

    def refused(self, calling_ae: str, address: str, reason: str, now: datetime) -> None:
        """Somebody was refused; `calling_ae` is empty where the connection was not let in that far."""
        kind = (calling_ae, address, reason)
        with self._lock:
            more = self._over(now)
            if kind not in self._told_at and len(self._told_at) >= MOST_KINDS:
                kind = OTHERS
            new = kind not in self._told_at
            if new:
                self._told_at[kind] = now
            else:
                self._more[kind] += 1
                self._tell_later()
        self._tell(more, now)
        if new:
            self._recorder.refused(*kind, now)

    def end(self, now: datetime) -> None:
        """Tell what was counted and not told yet."""
        with self._lock:
            more, self._more = self._more, Counter()
        self._tell(more, now)

    def _over(self, now: datetime) -> Counter[Kind]:
        """What was counted of the kinds whose minute is over; beyond it: the clock was put back."""
        over = [one for one, at in self._told_at.items() if not timedelta(0) <= now - at < EVERY]
        for one in over:
            del self._told_at[one]
        return Counter({one: self._more.pop(one) for one in over if one in self._more})

    def _tell_later(self) -> None:
        """Look again when the minute is over: nobody may call any more."""
        if not self._waits:
            self._waits = True
            timer = threading.Timer(EVERY.total_seconds(), self._late)
            timer.daemon = True
            timer.start()

    def _late(self) -> None:
        now = datetime.now(UTC)
        with self._lock:
            more, self._waits = self._over(now), False
            if self._more:
                self._tell_later()
        self._tell(more, now)

    def _tell(self, more: Counter[Kind], now: datetime) -> None:
        for (ae_title, address, why), count in more.items():
            self._recorder.refused(ae_title, address, f"{why}; {count} more of these within the minute", now)
