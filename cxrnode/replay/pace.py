"""How fast a replay goes: windows of the day, studies a minute, studies in flight, rest for a slow source."""

import re
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from statistics import median

from cxrnode.errors import SettingsError

WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
MINUTE = timedelta(minutes=1)
FIRST_REST_S, LONGEST_REST_S = 5.0, 600.0
REMEMBERED, SLOW = 20, 3.0
"""A source is slow when a study takes so many times as long as the middle one of the last ones."""


@dataclass(frozen=True)
class Window:
    """A time of the day, local; one that ends before it begins goes over midnight."""

    begins: time
    ends: time

    @classmethod
    def parsed(cls, text: str) -> "Window":
        """From HH:MM-HH:MM. Raises SettingsError, also for one that never opens."""
        found = WINDOW.fullmatch(text.strip())
        if not found:
            raise SettingsError(f"the window {text!r} is no time of the day; wanted HH:MM-HH:MM, as 19:00-06:00")
        hours = [int(part) for part in found.groups()]
        begins, ends = time(hours[0], hours[1]), time(hours[2], hours[3])
        if begins == ends:
            raise SettingsError(f"the window {text!r} never opens; wanted one that ends at another time than it begins")
        return cls(begins, ends)

    def is_open(self, now: datetime) -> bool:
        """Whether it is open then, by the local clock."""
        here = now.astimezone().time()
        if self.begins < self.ends:
            return self.begins <= here < self.ends
        return here >= self.begins or here < self.ends


@dataclass
class Pace:
    """How many studies may be begun; told of each that was begun and of how long its fetching took."""

    windows: tuple[Window, ...] = ()
    """none: always"""
    per_minute: float | None = None
    at_most: int = 16
    """studies in flight: fetched, waiting to be read or being sent"""
    _next_at: datetime | None = None
    _took_s: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _failures: int = 0
    rests_until: datetime | None = None
    """until when the source was last given time"""

    def may_begin(self, now: datetime, in_flight: int) -> int:
        """How many studies may be begun now."""
        if not self.is_open(now) or self.rests(now):
            return 0
        free = max(0, self.at_most - in_flight)
        if self._failures:
            free = min(free, 1)  # one to see whether it is back
        if self._gap is None:
            return free
        return min(free, max(0, (now - self._next(now)) // self._gap + 1))

    def is_open(self, now: datetime) -> bool:
        """Whether the clock allows it."""
        return not self.windows or any(window.is_open(now) for window in self.windows)

    def rests(self, now: datetime) -> bool:
        """Whether the source is given time."""
        return self.rests_until is not None and now < self.rests_until

    def began(self, studies: int, now: datetime) -> None:
        """So many studies were begun."""
        if self._gap is not None:
            self._next_at = self._next(now) + studies * self._gap

    def fetched(self, took_s: float, now: datetime) -> None:
        """A study was fetched: a source that is slow by its own measure rests for as long as it took."""
        self._failures = 0
        usual_s = median(self._took_s) if len(self._took_s) >= REMEMBERED // 2 else None
        self._took_s.append(took_s)
        if usual_s is not None and took_s > max(1.0, SLOW * usual_s):
            self.rests_until = now + timedelta(seconds=min(took_s, LONGEST_REST_S))

    def failed(self, now: datetime) -> None:
        """The source gave no answer: it rests, twice as long each time."""
        self._failures += 1
        rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2.0 ** min(self._failures - 1, 10))
        self.rests_until = now + timedelta(seconds=rest_s)

    @property
    def _gap(self) -> timedelta | None:
        return None if self.per_minute is None else MINUTE / self.per_minute

    def _next(self, now: datetime) -> datetime:
        """When the next study may be begun; a second's delay is made up for, no more."""
        return now if self._next_at is None else max(self._next_at, now - timedelta(seconds=1))
