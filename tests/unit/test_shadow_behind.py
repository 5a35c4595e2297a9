"""A shadow model that fails, or does not keep up, is in nobody's way: no alarm, no study held, no endless queue."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cxrnode.headers.routing import Choice
from cxrnode.ledger import quarantine, shadows, tallies, work
from cxrnode.ledger.backlog import backlog
from cxrnode.ledger.purges import expired
from cxrnode.ledger.states import Work
from tests.builders import make_cxr
from tests.desks import open_desk, read_all, receive
from tests.fakes import FakeModel
from workers.desk import Desk

LIVE, SHADOW = Choice("live"), Choice("shade")
NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=1)


class Broken(FakeModel):
    """One that reads nothing."""

    def read(self, radiographs: Any) -> Any:
        raise ValueError("no such operator")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = open_desk(tmp_path, [], model={"name": "live", "shadow": "shade"}, queue={"max_attempts": 1})
    yield made
    made.ledger.close()


def analyses(desk: Desk) -> int:
    return sum(task.work is Work.ANALYSE for task in work.due(desk.ledger, LATER, {}))


def test_what_it_has_failed_on_is_no_alarm_and_goes_when_its_time_is_over(desk: Desk) -> None:
    """Red when `owed` and `backlog` count it: with a candidate that fails, nothing is ever purged."""
    known: Any = {LIVE: FakeModel(), SHADOW: Broken()}
    receive(desk, make_cxr(), at=NOW)
    read_all(desk, known, now=LATER)
    while analyses(desk):
        read_all(desk, known, now=LATER)
    while tallies.settle(desk.ledger):
        pass

    (told,) = quarantine.waiting(desk.ledger)
    assert told.round_number == 2
    assert backlog(desk.ledger).given_up == 0
    assert len(expired(desk.ledger, 1.0, NOW + timedelta(days=2))) == 1


def test_what_the_live_model_has_failed_on_is_both(desk: Desk) -> None:
    known: Any = {LIVE: Broken(), SHADOW: FakeModel()}
    receive(desk, make_cxr(), at=NOW)
    while analyses(desk) or not quarantine.waiting(desk.ledger):
        read_all(desk, known, now=LATER)
    while tallies.settle(desk.ledger):
        pass

    assert backlog(desk.ledger).given_up == 1
    assert expired(desk.ledger, 1.0, NOW + timedelta(days=2)) == []


def test_while_too_many_wait_for_it_it_is_given_no_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when one too slow for the day is given every study: none of them is ever finished, or purged."""
    monkeypatch.setattr(shadows, "MOST_WAITING", 2)
    for _ in range(4):
        receive(desk, make_cxr(), at=NOW)

    read_all(desk, {LIVE: FakeModel(), SHADOW: FakeModel()}, now=LATER)

    assert analyses(desk) == 2
