"""A worker's desk: when a thing is tried again."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.desks import open_desk
from workers.desk import Desk


@pytest.mark.parametrize(("drawn", "waits"), [(0.0, [2, 4, 8, 50]), (0.5, [3, 6, 12, 75]), (1.0, [4, 8, 16, 100])])
def test_the_wait_is_doubled_up_to_the_longest_and_half_of_it_drawn_by_lot(
    tmp_path: Path, drawn: float, waits: list[float]
) -> None:
    """Red without the draw in `Desk.retry_at`."""
    settings = open_desk(tmp_path, [], delivery={"first_retry_s": 4.0, "longest_retry_s": 100.0}).settings
    desk, now = Desk(settings, lambda: drawn), datetime.now(UTC)

    assert [(desk.retry_at(tries, now) - now).total_seconds() for tries in (1, 2, 3, 9)] == waits
