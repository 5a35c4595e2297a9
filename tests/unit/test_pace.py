"""pace: windows of the day, studies a minute and in flight, and rest for a source that is slow or gives no answer."""

from datetime import UTC, datetime, timedelta

import pytest

from cxrnode.errors import SettingsError
from cxrnode.replay.pace import Pace, Window

T0 = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def at(hour: int, minute: int = 0) -> datetime:
    """A moment by the local clock."""
    return datetime(2026, 1, 2, hour, minute).astimezone()


@pytest.mark.parametrize(
    ("window", "open_at", "shut_at"),
    [
        ("08:00-17:30", [at(8), at(12), at(17, 29)], [at(7, 59), at(17, 30), at(0)]),
        ("19:00-06:00", [at(19), at(23, 59), at(0), at(5, 59)], [at(6), at(12), at(18, 59)]),
        ("00:00-23:59", [at(0), at(23, 58)], [at(23, 59)]),
    ],
)
def test_a_window_is_open_by_the_local_clock_over_midnight_too(
    window: str, open_at: list[datetime], shut_at: list[datetime]
) -> None:
    pace = Pace((Window.parsed(window),))

    assert [moment for moment in open_at if not pace.may_begin(moment, 0)] == []
    assert [moment for moment in shut_at if pace.may_begin(moment, 0)] == []


def test_of_two_windows_one_is_enough() -> None:
    pace = Pace((Window.parsed("01:00-02:00"), Window.parsed("12:00-13:00")))

    assert [pace.is_open(at(hour)) for hour in (0, 1, 2, 12, 13)] == [False, True, False, True, False]


@pytest.mark.parametrize("window", ["19:00-19:00", "24:00-06:00", "19-06", "", "19:00", "19:00-06:60"])
def test_a_window_that_never_opens_or_is_none_is_named(window: str) -> None:
    with pytest.raises(SettingsError, match=f"{window!r}.*wanted"):
        Window.parsed(window)


def begun(pace: Pace, seconds: int, turns_a_second: int = 5) -> list[datetime]:
    """When studies are begun where each is fetched and read at once."""
    moments = []
    for turn in range(seconds * turns_a_second):
        now = T0 + turn * SECOND / turns_a_second
        count = pace.may_begin(now, 0)
        pace.began(count, now)
        moments += [now] * count
    return moments


@pytest.mark.parametrize("per_minute", [0.5, 6, 30, 600])
def test_no_more_are_begun_in_any_minute_than_were_asked_for_and_hardly_fewer(per_minute: float) -> None:
    """Red without `began`, and when `_next` makes up for more than a second."""
    moments = begun(Pace(per_minute=per_minute, at_most=1000), seconds=600)

    busiest = max(sum(first <= one < first + 60 * SECOND for one in moments) for first in moments)
    assert busiest <= per_minute + max(1.0, per_minute / 60)
    assert len(moments) >= per_minute * 10 * 0.95


def test_a_pause_is_not_made_up_for() -> None:
    pace = Pace(per_minute=30, at_most=1000)
    pace.began(pace.may_begin(T0, 0), T0)

    assert pace.may_begin(T0 + 3600 * SECOND, 0) == 1


def test_in_flight_there_are_at_most_so_many() -> None:
    assert [Pace(at_most=4).may_begin(T0, flying) for flying in (0, 3, 4, 9)] == [4, 1, 0, 0]


def test_a_source_that_gives_no_answer_rests_longer_each_time_and_then_gets_one_study() -> None:
    """Red without `_failures` in `may_begin`: a whole batch would wait for a dead archive."""
    pace, now, rests = Pace(at_most=8), T0, []
    for _ in range(9):
        pace.failed(now)
        assert pace.rests_until is not None
        rests.append((pace.rests_until - now) / SECOND)
        assert pace.may_begin(now + 4 * SECOND, 0) == 0
        now = pace.rests_until
        assert pace.may_begin(now, 0) == 1

    assert rests == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    pace.fetched(0.5, now)
    assert pace.may_begin(now, 0) == 8


def test_a_source_that_slows_down_rests_as_long_as_it_took() -> None:
    pace = Pace(at_most=8)
    for _ in range(10):
        pace.fetched(2.0, T0)
    assert pace.may_begin(T0, 0) == 8

    pace.fetched(7.0, T0)
    assert pace.may_begin(T0 + 6 * SECOND, 0) == 0
    assert pace.may_begin(T0 + 7 * SECOND, 0) == 8
