"""Security alerts of those who were not let in; a flood of one kind is told once a minute, with how many there were."""

import threading
from collections import Counter
from datetime import datetime, timedelta

from cxrnode.audit.recorder import Recorder

EVERY = timedelta(minutes=1)
Kind = tuple[str, str, str]


class Alerts:
    """Who was refused, by AE title, address and reason; any thread may tell it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder, self._lock = recorder, threading.Lock()
        self._told_at: dict[Kind, datetime] = {}
        self._more: Counter[Kind] = Counter()

    def refused(self, calling_ae: str, address: str, reason: str, now: datetime) -> None:
        """Somebody was refused; `calling_ae` is empty where the connection was not let in that far."""
        kind = (calling_ae, address, reason)
        with self._lock:
            over = [one for one, at in self._told_at.items() if now - at >= EVERY]
            for one in over:
                del self._told_at[one]
            more = {one: self._more.pop(one) for one in over if self._more[one]}
            new = kind not in self._told_at
            if new:
                self._told_at[kind] = now
            else:
                self._more[kind] += 1
        for (ae_title, where, why), count in more.items():
            self._recorder.refused(ae_title, where, f"{why}; {count} more of these within the minute", now)
        if new:
            self._recorder.refused(calling_ae, address, reason, now)
