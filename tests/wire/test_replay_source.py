"""What a source does to a replay: no fault of its own fails a study, no study's fault stops the plan."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from cxrnode.errors import PeerRefused, SettingsError
from cxrnode.ledger import planned, replays
from cxrnode.ledger.planned import Hold, Known
from cxrnode.ledger.replaytables import Step
from cxrnode.plans.plan import Verdict
from cxrnode.replay.source import Fetched
from tests.desks import open_desk, receive
from tests.replaying import T0, Shelf, asked, begun, film, finish
from workers.desk import Desk

SECOND = timedelta(seconds=1)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    desk = open_desk(tmp_path, [])
    yield Shelf(desk)
    desk.ledger.close()


@pytest.fixture
def desk(shelf: Shelf) -> Desk:
    return shelf.desk


def test_a_source_that_refuses_everything_is_given_time(shelf: Shelf, desk: Desk) -> None:
    """By a status, or of each image. Red without `_refused`: forty studies failed in a minute."""
    refusal, failed = PeerRefused("out of resources", 0xA702), Fetched(failed=1, reason="refused")
    for fault in (refusal, failed):
        entries = [shelf.put(film(), faults=(fault,) * 3) for _ in range(20)]
        run = begun(shelf, asked(desk, *entries))
        for second in range(600):
            run.turn(T0 + second * SECOND)
        assert run.standing.left > 15
        assert "its source is given time until" in run.standing.waits


def test_what_is_gone_from_the_source_is_no_refusal(shelf: Shelf, desk: Desk) -> None:
    entries = [shelf.put(film(), faults=(Fetched(absent=True, reason="gone"),)) for _ in range(12)]
    run = begun(shelf, replay := asked(desk, *entries))
    for second in range(10):
        run.turn(T0 + second * SECOND)

    assert planned.verdicts(desk.ledger, replay.key) == {Verdict.NOT_FOUND: 12}


def test_one_forbidden_study_fails_alone_and_all_forbidden_ones_none(shelf: Shelf, desk: Desk) -> None:
    """Red when a refusal that any study would get ends the run after others were fetched."""
    forbidden = PeerRefused("forbidden", 403)
    entries = [shelf.put(film()), shelf.put(film(), faults=(forbidden,) * 3), shelf.put(film())]
    rows = finish(shelf, replay := asked(desk, *entries), begun(shelf, replay))
    assert [rows[entry.study].verdict for entry in entries] == [Verdict.ANALYSED, Verdict.FAILED, Verdict.ANALYSED]

    entries = [shelf.put(film(), faults=(forbidden,) * 9) for _ in range(3)]
    with pytest.raises(PeerRefused, match="forbidden"):
        begun(shelf, replay := asked(desk, *entries)).go(lambda *_: None, Event())
    assert planned.steps(desk.ledger, replay.key) == {Step.WAITING: 3}


@pytest.mark.parametrize("fault", [OSError(122, "Disk quota exceeded"), OSError(5, "Input/output error")])
def test_a_fault_of_the_disk_is_waited_for(shelf: Shelf, desk: Desk, fault: OSError) -> None:
    entry = shelf.put(film(), faults=(fault,) * 5)
    rows = finish(shelf, replay := asked(desk, entry), begun(shelf, replay))

    assert rows[entry.study].verdict is Verdict.ANALYSED


def test_settings_that_no_study_could_be_fetched_by_end_the_run(shelf: Shelf, desk: Desk) -> None:
    entry = shelf.put(film(), faults=(SettingsError("ca_file cannot be read"),))
    with pytest.raises(SettingsError, match="ca_file"):
        begun(shelf, replay := asked(desk, entry)).go(lambda *_: None, Event())

    assert planned.steps(desk.ledger, replay.key) == {Step.WAITING: 1}


def test_kills_cost_a_study_no_attempt(shelf: Shelf, desk: Desk) -> None:
    entry = shelf.put(film(), faults=(SettingsError("x"), PeerRefused("0xC001", 0xC001)))
    replay = asked(desk, entry)
    planned.claim(desk.ledger, replay.key, 1, T0, Hold(T0), Known((), sent=True))
    for _ in range(5):
        begun(shelf, replay).turn(T0, begin=False)  # takes it up, and is killed

    shelf.faults[entry.study] = [PeerRefused("0xC001", 0xC001)]
    assert finish(shelf, replay, begun(shelf, replay))[entry.study].verdict is Verdict.ANALYSED


def test_a_paused_replay_fetches_nothing_when_it_is_run_again(shelf: Shelf, desk: Desk) -> None:
    entry = shelf.put(film())
    replay = asked(desk, entry)
    planned.claim(desk.ledger, replay.key, 1, T0, Hold(T0 + 60 * SECOND), Known((), sent=True))
    replays.pause(desk.ledger, replay.key, T0)
    run = begun(shelf, replay)
    run.turn(T0)
    assert (shelf.fetched.total(), run.standing.steps[Step.WAITING]) == (0, 1)

    replays.pause(desk.ledger, replay.key, None)
    assert finish(shelf, replay, run)[entry.study].verdict is Verdict.ANALYSED


def test_a_run_that_is_stopped_waits_for_no_live_study(shelf: Shelf, desk: Desk) -> None:
    """Red when `go` waits until nothing is FETCHING: a study whose live round nobody closes would hold it for ever."""
    one = film()
    receive(desk, one)
    run = begun(shelf, replay := asked(desk, shelf.put(one), again=True))
    for second in range(3):
        run.turn(T0 + second * SECOND)
    assert run.standing.steps[Step.FETCHING] == 1
    stop = Event()
    stop.set()

    assert run.go(lambda *_: None, stop) is False
    assert planned.steps(desk.ledger, replay.key) == {Step.FETCHING: 1}
