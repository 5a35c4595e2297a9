"""A destination that is away: the others get everything, it is asked seldom, and gets everything once it is back."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import select, update

from cxrnode import deliver
from cxrnode.commands.quarantine import retry_destination
from cxrnode.commands.samples import free_ports
from cxrnode.commands.status import show
from cxrnode.errors import Unknown
from cxrnode.ledger import circuits, parcels, work
from cxrnode.ledger.account import account
from cxrnode.ledger.circuits import OPENS_AFTER
from cxrnode.ledger.quarantine import waiting
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import Fate
from cxrnode.ledger.tables import tasks
from cxrnode.ledger.timeline import timeline
from cxrnode.settings.destination import Destination
from tests.cables import Mute
from tests.desks import owing, turn
from tests.fakes import FakePacs
from workers.delivery import deliver_leased
from workers.desk import Desk

STUDIES = 12
Record = Callable[[str, object], None]
SLOW = {"first_retry_s": 60.0, "longest_retry_s": 600.0}
HOUR = timedelta(hours=1)


def at(pacs: FakePacs, name: str) -> Destination:
    return pacs.destination(name=name, timeout_s=3, commitment="off")


def away(port: int) -> Destination:
    return at(FakePacs(port=port), "away")


@contextmanager
def counted() -> Iterator[list[str]]:
    """The name of each destination that an association is asked of."""
    calls: list[str] = []
    associate = deliver.associate

    def noted(destination: Destination, *arguments: object) -> object:
        calls.append(destination.name)
        return associate(destination, *arguments)  # type: ignore[arg-type]  # passed on as they came

    with patch.object(deliver, "associate", noted):
        yield calls


def turns(desk: Desk) -> None:
    while turn(desk):
        pass


@pytest.mark.parametrize("how", ["closed port", "never answers"])
def test_one_that_is_away_keeps_nothing_from_the_other_and_gets_all_once_when_it_is_back(
    tmp_path: Path, how: str, record_property: Record
) -> None:
    """Red without `~circuits.is_open()` in `work.due`."""
    record_property("matrix", ("a result is due", f"archive away ({how})", "I2, I3, I5"))
    mute, live = Mute(), FakePacs()
    back = FakePacs()
    with live.listening(), counted() as calls:
        if how == "closed port":
            back.port = free_ports(1)[0]
            desk = owing(tmp_path, STUDIES, at(live, "live"), away(back.port), **SLOW)
            turns(desk)
        else:
            with mute.listening():
                back.port = mute.port
                desk = owing(tmp_path, STUDIES, at(live, "live"), away(back.port), **SLOW)
                turns(desk)
            assert mute.calls == OPENS_AFTER
        assert len(live.stored) == STUDIES
        assert calls.count("away") == OPENS_AFTER
        (told,) = circuits.opened(desk.ledger)
        assert (told.destination, told.failures, told.waiting) == ("away", OPENS_AFTER, STUDIES)
        assert ("gave no answer" if mute.calls else "cannot be reached") in told.reason
        later = told.next_try + timedelta(seconds=1)
        assert work.due(desk.ledger, told.next_try - timedelta(seconds=1), {}) == []
        assert turn(desk, later) == 1, "one probe"
        (again,) = circuits.opened(desk.ledger)
        assert (again.failures, again.since) == (OPENS_AFTER + 1, told.since)

        with back.listening(back.port):
            assert turn(desk, later + HOUR) == 1
            assert circuits.opened(desk.ledger) == []
            assert turn(desk, later + HOUR) == STUDIES - 1

    for pacs in (live, back):
        assert len({one.SOPInstanceUID for one in pacs.stored}) == len(pacs.attempts) == STUDIES
    assert {line.state for line in round_lines(desk.ledger)} == {"finished"}
    assert account(desk.ledger, desk.spool).balanced


def test_the_attempts_of_what_waits_are_not_spent(tmp_path: Path) -> None:
    """Red with `counts=True` in `peers.put_back`, and without `passage.away` in `work.lease`."""
    (port,) = free_ports(1)
    desk = owing(tmp_path, STUDIES, away(port), **SLOW)
    turns(desk)
    for hours in range(5):
        turn(desk, datetime.now(UTC) + hours * HOUR)
    with desk.ledger.reading() as db:
        attempts = sorted(db.execute(select(tasks.c.attempts).where(tasks.c.destination == "away")).scalars())
    assert attempts == [0] * (STUDIES - OPENS_AFTER + 1) + [1] * (OPENS_AFTER - 1)


def test_an_archive_out_of_resources_for_everything_is_as_good_as_away(tmp_path: Path) -> None:
    """Red when A700 counts as an answer (`settled` in `delivery._send`)."""
    full = FakePacs(statuses=[0xA700] * (OPENS_AFTER + 1))
    with full.listening():
        desk = owing(tmp_path, STUDIES, at(full, "fake"), **SLOW)
        turns(desk)
        assert len(full.attempts) == OPENS_AFTER
        (told,) = circuits.opened(desk.ledger)
        assert told.reason == "fake: status 0xA700"
        later = datetime.now(UTC) + HOUR
        assert turn(desk, later) == 1
        assert turn(desk, later + HOUR) == 1
        assert turn(desk, later + HOUR) == STUDIES - 1
    assert len(full.stored) == STUDIES


def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    with FakePacs(statuses=[0xA700, 0xA700, 0xA900, 0xA700, 0xA700]).listening() as pacs:
        desk = owing(tmp_path, 5, at(pacs, "fake"), **SLOW)
        turns(desk)
        assert circuits.opened(desk.ledger) == []
    assert len(pacs.attempts) == 5


def test_what_breaks_each_probe_does_not_keep_the_others_from_trying(tmp_path: Path) -> None:
    """The archive aborts for the studies that come first; each probe is another task. Red when probes go by age."""
    with FakePacs(drop_after=0).listening() as pacs:
        desk = owing(tmp_path, OPENS_AFTER + 1, at(pacs, "fake"), **SLOW)
        with desk.ledger.reading() as db:
            *bad, good = db.execute(select(tasks.c.key).where(tasks.c.destination == "fake")).scalars()
        for key in bad:
            with desk.ledger.writing() as db:
                early = {"created_at": datetime.now(UTC) - HOUR, "due_at": datetime.now(UTC) - HOUR}
                db.execute(update(tasks).where(tasks.c.key == key).values(early))
        turns(desk)
        assert circuits.opened(desk.ledger)
        probed = []
        for hours in range(1, OPENS_AFTER + 2):
            now = datetime.now(UTC) + hours * HOUR
            probed += [task.task_key for task in work.due(desk.ledger, now, {})]
            turn(desk, now)
    assert good in probed


def test_what_waits_too_long_behind_it_is_given_up_without_a_call(tmp_path: Path) -> None:
    """Red without `tasks.c.created_at < now - give_up` in `work.due`, or its like in `work.lease`."""
    (port,) = free_ports(1)
    desk = owing(tmp_path, 5, away(port), give_up_after_h=1.0, **SLOW)
    turns(desk)
    with desk.ledger.writing() as db:
        old = {"created_at": datetime.now(UTC) - 2 * HOUR, "due_at": datetime.now(UTC)}
        db.execute(update(tasks).where(tasks.c.destination == "away").values(old))
    with counted() as calls:
        assert turn(desk) == 5
    assert calls == []
    told = waiting(desk.ledger)
    assert len(told) == 5
    assert all("given up after 1 h: away: no answer since" in one.reason for one in told)
    assert account(desk.ledger, desk.spool).balanced


def test_a_person_who_cannot_wait_has_it_tried_now(tmp_path: Path) -> None:
    back = FakePacs(port=free_ports(1)[0])
    desk = owing(tmp_path, 5, away(back.port), **SLOW)
    turns(desk)
    with back.listening(back.port):
        assert turn(desk) == 0
        assert circuits.probe_now(desk.ledger, "away", datetime.now(UTC), dry_run=True) == 5
        assert turn(desk) == 0
        assert circuits.probe_now(desk.ledger, "away", datetime.now(UTC)) == 5
        assert turn(desk) == 1
        assert turn(desk) == 4
    assert len(back.stored) == 5


def test_what_the_queue_held_when_it_opened_is_in_the_queue_again_when_it_closes(tmp_path: Path) -> None:
    """Red without the `submitted_at=None` in `work.lease`: a queue that never empties would not have it again."""
    back = FakePacs(port=free_ports(1)[0])
    desk = owing(tmp_path, 6, away(back.port), **SLOW)
    queued = work.due(desk.ledger, datetime.now(UTC), {})
    work.submitted(desk.ledger, [task.task_key for task in queued], datetime.now(UTC))
    for task in queued:
        for held in work.lease(desk.ledger, task.task_key, datetime.now(UTC), 600):
            deliver_leased(desk, held)
    with back.listening(back.port):
        later = datetime.now(UTC) + HOUR
        assert turn(desk, later) == 1
        assert turn(desk, later) == 5
    assert len(back.stored) == 6


def test_the_trace_says_that_it_waits_for_the_archive_and_until_when(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    desk = owing(tmp_path, 4, away(port), **SLOW)
    turns(desk)
    last = timeline(desk.ledger, "1.2.3.4").events[-1]
    (told,) = circuits.opened(desk.ledger)
    assert (last.what, last.at) == ("deliver away: waits", told.next_try)
    assert "no answer since" in last.told


def test_a_probe_that_dies_with_its_worker_is_followed_by_another(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    desk = owing(tmp_path, 4, away(port), **SLOW)
    turns(desk)
    later = datetime.now(UTC) + HOUR
    (probe,) = work.due(desk.ledger, later, {})
    (held,) = work.lease(desk.ledger, probe.task_key, later, 600)
    assert held.passage.probe
    assert work.due(desk.ledger, later + timedelta(seconds=599), {}) == []
    (another,) = work.due(desk.ledger, later + timedelta(seconds=601), {})
    assert another.task_key != probe.task_key


def test_a_probe_that_has_nothing_left_to_send_makes_room_for_another(tmp_path: Path) -> None:
    """Red without `peers.not_called` in `delivery._try`: the next one would wait for the probe's lease to end."""
    back = FakePacs(port=free_ports(1)[0])
    desk = owing(tmp_path, 4, away(back.port), **SLOW)
    turns(desk)
    later = datetime.now(UTC) + HOUR
    (probe,) = work.due(desk.ledger, later, {})
    (held,) = work.lease(desk.ledger, probe.task_key, later, 600)
    with desk.ledger.writing() as db:
        parcels.cancel_due(db, held.round_key, Fate.WITHDRAWN, later)
    deliver_leased(desk, held)
    with back.listening(back.port):
        assert turn(desk, later) == 1
        assert turn(desk, later) == 2
    assert len(back.stored) == 3


def test_calls_that_had_begun_before_it_opened_do_not_lengthen_the_wait(tmp_path: Path) -> None:
    """Red without the `not probe` in `circuits.failed`."""
    (port,) = free_ports(1)
    desk = owing(tmp_path, OPENS_AFTER + 3, away(port), **SLOW)
    now = datetime.now(UTC)
    begun = [work.lease(desk.ledger, task.task_key, now, 600) for task in work.due(desk.ledger, now, {})]
    for (held,) in begun:
        deliver_leased(desk, held)
    (told,) = circuits.opened(desk.ledger)
    assert (told.failures, told.waiting) == (OPENS_AFTER, OPENS_AFTER + 3)
    assert told.next_try <= now + timedelta(seconds=60 * 4 + 10)


def test_a_commitment_request_waits_behind_it_and_its_refusal_is_an_answer(tmp_path: Path) -> None:
    """Red without `passage` for commitment: every round would ask by itself."""
    pacs = FakePacs(port=free_ports(1)[0])
    desk = owing(tmp_path, STUDIES, pacs.destination(name="away", timeout_s=3), **SLOW)
    with pacs.listening(pacs.port):
        assert turn(desk) == STUDIES
    with counted() as calls:
        turns(desk)
    assert len(calls) == OPENS_AFTER
    (told,) = circuits.opened(desk.ledger)
    with pacs.listening(pacs.port):
        assert turn(desk, told.next_try) == 1
        assert circuits.opened(desk.ledger) == []
        turn(desk, told.next_try + HOUR)
    assert {line.state for line in round_lines(desk.ledger)} == {"finished"}


def test_the_status_says_since_when_why_how_much_and_until_when(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    desk = owing(tmp_path, 4, away(port), **SLOW)
    turns(desk)
    (told,) = circuits.opened(desk.ledger)
    capsys.readouterr()
    show(desk.settings, as_json=True, limit=1)
    (shown,) = json.loads(capsys.readouterr().out)["away"]
    assert (shown["destination"], shown["waiting"], shown["failures"]) == ("away", 4, OPENS_AFTER)
    assert (shown["since"], shown["next_try"]) == (told.since.isoformat(), told.next_try.isoformat())
    assert f"127.0.0.1:{port}" in shown["reason"]
    show(desk.settings, as_json=False, limit=1)
    table = capsys.readouterr().out
    assert "Destinations that are away" in table
    with pytest.raises(Unknown, match="no destination is called 'pacs'; wanted one of: away"):
        retry_destination(desk.settings, "pacs", dry_run=True, as_json=False)
    retry_destination(desk.settings, "away", dry_run=False, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"dry_run": False, "destination": "away", "deliveries": 4}
    assert turn(desk) == 1
