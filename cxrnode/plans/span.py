"""Span: days, or minutes of one day, from which a PACS is asked for studies, and its halves where that was too much."""

import re
from dataclasses import dataclass
from datetime import date, timedelta

MINUTES = 24 * 60
CLOCK = re.compile(r"([0-9]{2}):?([0-9]{2})")


@dataclass(frozen=True)
class Span:
    """From one day to another, both included; of one day perhaps from one minute to another, both included."""

    first: date
    last: date
    begin: int = 0
    end: int = MINUTES - 1

    @property
    def keys(self) -> dict[str, str]:
        """The matching keys of a question: a range, or one day (PS3.4 C.2.2.2.5)."""
        if self == EVER:
            return {}
        days = [f"{day:%Y%m%d}" for day in (self.first, self.last)]
        keys = {"StudyDate": days[0] if days[0] == days[1] else "-".join(days)}
        if self._is_part_of_a_day:
            keys["StudyTime"] = f"{_clock(self.begin)}00-{_clock(self.end)}59.999999"
        return keys

    @property
    def halves(self) -> "tuple[Span, ...]":
        """The earlier and the later half, of days or else of the day's minutes; none of one minute."""
        days = (self.last - self.first).days
        if days:
            middle = self.first + timedelta(days=days // 2)
            return Span(self.first, middle), Span(middle + timedelta(days=1), self.last)
        if self.begin == self.end:
            return ()
        noon = (self.begin + self.end) // 2
        return Span(self.first, self.last, self.begin, noon), Span(self.first, self.last, noon + 1, self.end)

    def may_hold(self, day: str, time: str) -> bool:
        """Whether a study of this date (YYYYMMDD) and time may be of it; what is empty is not known."""
        if day and self != EVER and not f"{self.first:%Y%m%d}" <= day <= f"{self.last:%Y%m%d}":
            return False
        minute = _minute(time)
        return minute is None or not self._is_part_of_a_day or self.begin <= minute <= self.end

    def is_divided_by(self, day: str, time: str) -> bool:
        """Whether a study of this date and time is of one half alone."""
        return sum(half.may_hold(day, time) for half in self.halves) == 1

    @property
    def _is_part_of_a_day(self) -> bool:
        return (self.begin, self.end) != (0, MINUTES - 1)


EVER = Span(date(1900, 1, 1), date(2099, 12, 31))
"""Any day, and none: asked for without a date."""


def _clock(minute: int) -> str:
    return f"{minute // 60:02}{minute % 60:02}"


def _minute(time: str) -> int | None:
    clock = CLOCK.match(time)
    return int(clock[1]) * 60 + int(clock[2]) if clock else None
