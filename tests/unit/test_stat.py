"""STAT: who is, and that it goes before all else in the ledger, in the queue and between two studies of a worker."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import select

from cxrnode.commands.status import as_object, look
from cxrnode.commands.trace import timeline
from cxrnode.complete import SUBMITTED_AT_ONCE, close_whole, next_closing, submit_due
from cxrnode.errors import BrokerUnavailable
from cxrnode.headers.priority import says_stat
from cxrnode.jobs import ANALYSIS_QUEUES, DELIVERY_QUEUES, QUEUES, queue_of
from cxrnode.ledger import Ledger, arrivals, replayed, replays, work
from cxrnode.ledger.replayed import Order
from cxrnode.ledger.replays import Request
from cxrnode.ledger.states import Lane, State, TaskState, Work
from cxrnode.ledger.tables import rounds, tasks
from cxrnode.ledger.work import Due
from cxrnode.plans.plan import Head, Origin
from cxrnode.receipt import Receipt
from cxrnode.settings import Settings
from cxrnode.settings.destination import Destination
from tests.builders import chest_like, make_cxr, remade
from tests.desks import HOUR, open_desk, receive
from tests.fakes import FakeModel
from tests.ledgers import LEASE_S, QUIET_S, T0, Bench
from workers.analysis import analyse_leased
from workers.desk import Desk

QUIET = timedelta(seconds=QUIET_S)
FILM = make_cxr(chest_like(96, 80))


@dataclass
class Queue:
    """Takes tasks, as the broker does, while it is there; its queues look as long as they are."""

    taken: list[Due] = field(default_factory=list)
    most: int = 10**6

    def submit(self, task: Due) -> None:
        if len(self.taken) == self.most:
            raise BrokerUnavailable("the broker does not answer: nobody there")
        self.taken.append(task)

    def waiting(self, *queues: str) -> list[int]:
        held = [queue_of(one.work, one.lane) for one in self.taken]
        return [held.count(queue) for queue in queues]


def arrive(bench: Bench, uid: str, study: str, at: datetime = T0, *, stat: bool = False) -> None:
    came = ("1.2", study, "1.2", "0" * 64, 1, "A", "B", "::1", "1", at.isoformat())
    receipt = Receipt(bench.spool.key_for(uid), uid, *came, stat=stat)
    bench.spool.store(b"x", receipt)
    arrivals.note(bench.ledger, [receipt])


def lanes(ledger: Ledger, table: Any = rounds) -> list[str]:
    with ledger.reading() as db:
        return list(db.execute(select(table.c.lane).order_by(table.c.key)).scalars())


def waiting(bench: Bench, studies: int) -> datetime:
    """So many live studies that are due, and a STAT one that came last; when it was closed."""
    came = [
        Receipt(bench.spool.key_for(f"1.{number}"), f"1.{number}", "1.2", f"1.9.{number}", "1.2", "0" * 64, 1,
                *("A", "B", "::1", "1", T0.isoformat()))
        for number in range(studies)
    ]  # fmt: skip
    arrivals.note(bench.ledger, came)
    arrivals.close_settled(bench.ledger, QUIET_S, T0 + QUIET)
    later = T0 + HOUR
    arrive(bench, "1.3.1", "1.9.0.1", later, stat=True)
    arrivals.close_settled(bench.ledger, QUIET_S, later + QUIET)
    return later + QUIET


@pytest.mark.parametrize(
    ("nested", "priority", "stat"),
    [
        (False, "STAT", True),
        (True, "STAT", True),
        (True, "stat ", True),
        (False, "HIGH", False),
        (True, "ROUTINE", False),
        (False, "", False),
        (False, None, False),
    ],
)
def test_an_image_says_that_it_is_stat_at_the_top_or_with_its_request(
    priority: str | None, *, nested: bool, stat: bool
) -> None:
    film, request = Dataset(), Dataset()
    if priority is not None:
        (request if nested else film).RequestedProcedurePriority = priority
    film.RequestAttributesSequence = [Dataset(), request]

    assert says_stat(film) is stat


def test_one_image_makes_its_study_stat_and_whatever_comes_of_it_later(bench: Bench) -> None:
    arrive(bench, "1.1", "1.9")
    assert lanes(bench.ledger) == ["live"]
    arrive(bench, "1.2", "1.9", stat=True)
    arrive(bench, "1.3", "1.9")
    assert lanes(bench.ledger) == ["stat"]
    arrivals.close_settled(bench.ledger, QUIET_S, T0 + QUIET)
    assert lanes(bench.ledger, tasks) == ["stat"]

    arrive(bench, "1.4", "1.9", T0 + HOUR)
    arrive(bench, "1.5", "1.8", T0 + HOUR)

    assert sorted(lanes(bench.ledger)) == ["live", "stat", "stat"]


def test_what_a_replay_reads_again_is_not_stat_and_what_comes_live_of_it_is(bench: Bench) -> None:
    arrive(bench, "1.1", "1.9", stat=True)
    arrivals.close_settled(bench.ledger, QUIET_S, T0 + QUIET)
    replay = replays.begin(
        bench.ledger, Request(generate_uid(), "", send=True, again=False), Head(origin=Origin.FILES, made_at=T0), T0
    )
    with bench.ledger.writing() as db:
        study = db.execute(select(rounds.c.study_key)).scalar_one()
        again = arrivals.read_again(db, study, T0 + HOUR, Order(replay.key, "", send=True))
        of_replay = select(rounds.c.lane).where(rounds.c.key == again)
        assert db.execute(of_replay).scalar_one() == Lane.REPLAY
        replayed.to_live(db, str(again), Lane.STAT)
        assert db.execute(of_replay).scalar_one() == Lane.STAT


def test_a_stat_study_is_leased_first_and_alone_while_five_hundred_wait(bench: Bench) -> None:
    """Red where `due` does not look at the lane, and where STAT may have companions."""
    now = waiting(bench, 500)

    first, *others = work.due(bench.ledger, now, {})
    assert (first.lane, {one.lane for one in others}, len(others)) == (Lane.STAT, {Lane.LIVE}, 500)
    companions = {Lane.LIVE: 7}
    live = work.lease(bench.ledger, others[0].task_key, now, LEASE_S, companions=companions)
    assert [one.lane for one in live] == [Lane.LIVE] * 8
    (held,) = work.lease(bench.ledger, first.task_key, now, LEASE_S, companions=companions)
    bench.finish(held, now)

    assert [(one.work, one.lane) for one in work.due(bench.ledger, now, {})][:2] == [
        (Work.DELIVER, Lane.STAT),
        (Work.ANALYSE, Lane.LIVE),
    ]


def test_a_failed_attempt_stays_in_its_lane_and_so_does_one_of_before_a_restart(bench: Bench) -> None:
    now = waiting(bench, 3)
    (held,) = work.lease(bench.ledger, work.due(bench.ledger, now, {})[0].task_key, now, LEASE_S)
    work.put_back(bench.ledger, held, now + HOUR, "PeerUnavailable")

    restarted = Ledger(bench.url)

    assert work.due(restarted, now + HOUR, {})[0].task_key == held.task_key
    restarted.close()


def test_the_queue_is_given_the_stat_study_first_and_so_many_others_a_turn(bench: Bench) -> None:
    """Red where all that is due is submitted in one turn."""
    now, queue, settings = waiting(bench, 2 * SUBMITTED_AT_ONCE), Queue(), Settings()

    turns = 0
    while submit_due(bench.ledger, queue, settings, now):  # type: ignore[arg-type]  # the test's own queue
        turns += 1
        assert len(queue.taken) == turns * SUBMITTED_AT_ONCE

    assert turns == 2
    assert [one.lane for one in queue.taken] == [Lane.STAT] + [Lane.LIVE] * 2 * SUBMITTED_AT_ONCE
    assert len({one.task_key for one in queue.taken}) == len(queue.taken)


def test_a_broker_that_goes_away_in_the_middle_is_given_the_rest_later_and_nothing_twice(bench: Bench) -> None:
    now, queue, settings = waiting(bench, 5), Queue(most=3), Settings()
    assert not submit_due(bench.ledger, queue, settings, now)  # type: ignore[arg-type]
    queue.most = 100

    submit_due(bench.ledger, queue, settings, now)  # type: ignore[arg-type]

    assert len({one.task_key for one in queue.taken}) == len(queue.taken) == 6


def test_what_a_flush_has_lost_comes_back_in_its_lane(bench: Bench) -> None:
    now, queue, settings = waiting(bench, 5), Queue(), Settings()
    submit_due(bench.ledger, queue, settings, now)  # type: ignore[arg-type]
    queue.taken.clear()
    later = now + timedelta(seconds=settings.queue.resubmit_s)

    submit_due(bench.ledger, queue, settings, later)  # type: ignore[arg-type]

    assert [one.lane for one in queue.taken] == [Lane.STAT, *[Lane.LIVE] * 5]


def test_workers_ask_the_queues_of_the_most_urgent_lane_first() -> None:
    assert list(ANALYSIS_QUEUES) == list(DELIVERY_QUEUES) == [Lane.STAT, Lane.LIVE, Lane.REPLAY]
    assert len(set(QUEUES)) == 6


@dataclass
class Busy(FakeModel):
    """Something happens while it reads."""

    meanwhile: Callable[[], None] = lambda: None
    passes: list[int] = field(default_factory=list)

    def read(self, radiographs: Any) -> Any:
        self.passes.append(len(radiographs))
        self.meanwhile()
        return super().read(radiographs)


def of_one_image(**attributes: object) -> Any:
    uids = {"SOPInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid()}
    return remade(FILM, **(uids | attributes))


def eight_leased(desk: Desk) -> list[work.Lease]:
    for _ in range(8):
        receive(desk, of_one_image())
    arrivals.close_settled(desk.ledger, QUIET_S, T0 + HOUR)
    first, *others = work.due(desk.ledger, T0 + HOUR, {})
    return work.lease(desk.ledger, first.task_key, T0 + HOUR, 10**9, companions={Lane.LIVE: len(others)})


def test_a_worker_with_eight_studies_lets_go_of_those_not_begun_when_a_stat_study_is_due(tmp_path: Path) -> None:
    """Red where nobody looks between two passes: the STAT study would wait for eight."""
    desk = open_desk(tmp_path, [])
    held = eight_leased(desk)
    model = Busy()

    def a_stat_study_comes() -> None:
        if len(model.passes) == 3:
            with desk.ledger.writing() as db:
                study = db.execute(select(rounds.c.study_key).limit(1)).scalar_one()
                arrivals.read_again(db, study, T0 + HOUR)
                db.execute(tasks.update().where(tasks.c.attempts == 0).values(lane=Lane.STAT))

    model.meanwhile = a_stat_study_comes
    analyse_leased(desk, held, lambda _: model, together=1)

    assert model.passes == [1, 1, 1]
    with desk.ledger.reading() as db:
        told = db.execute(select(tasks.c.state, tasks.c.lane, tasks.c.attempts)).all()
    assert told.count((TaskState.DUE, Lane.LIVE, 0)) == 5
    assert told.count((TaskState.DONE, Lane.LIVE, 1)) == 3
    again = work.due(desk.ledger, T0 + 10**5 * HOUR, {})
    assert [one.lane for one in again] == [Lane.STAT, *[Lane.LIVE] * 5]
    companions = work.lease(desk.ledger, again[1].task_key, T0 + 10**5 * HOUR, 600, companions={Lane.LIVE: 7})
    assert len(companions) == 5, "they may be read together again"


def test_nothing_gives_way_to_its_own_lane(tmp_path: Path) -> None:
    desk, model = open_desk(tmp_path, []), Busy()
    held = eight_leased(desk)
    receive(desk, of_one_image())
    arrivals.close_settled(desk.ledger, QUIET_S, T0 + HOUR)

    analyse_leased(desk, held, lambda _: model, together=3)

    assert model.passes == [3, 3, 2]


STAT_ROUTES = [
    {"name": "children", "age_years": [1, 5], "model": "kids", "stat": True},
    {"name": "ward", "calling_ae": ["WARD9"], "model": "grown", "stat": True},
    {"name": "rest", "model": "grown"},
]


@pytest.mark.parametrize(
    ("attributes", "calling_ae", "lane"),
    [
        ({"PatientAge": "003Y"}, "DXROOM1", Lane.STAT),
        ({"PatientAge": "064Y"}, "DXROOM1", Lane.LIVE),
        ({"PatientAge": "064Y"}, "WARD9", Lane.STAT),
        ({"PatientAge": "003Y", "Modality": "CT"}, "DXROOM1", Lane.LIVE),
    ],
    ids=["route", "other route", "route of a sender", "not read"],
)
def test_a_route_makes_stat_what_it_takes(
    tmp_path: Path, attributes: dict[str, str], calling_ae: str, lane: Lane
) -> None:
    """Red where the routes are not asked when a round is closed."""
    desk = open_desk(tmp_path, [], STAT_ROUTES)
    receive(desk, of_one_image(**attributes), calling_ae)
    assert lanes(desk.ledger) == [Lane.LIVE]

    close_whole(desk.ledger, desk.spool, desk.settings, T0 + HOUR)

    assert lanes(desk.ledger) == lanes(desk.ledger, tasks) == [lane]


def test_a_route_that_cannot_be_asked_keeps_no_study_from_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk(tmp_path, [], STAT_ROUTES)
    receive(desk, of_one_image())
    monkeypatch.setattr("cxrnode.complete.decide", lambda *_: 1 // 0)

    close_whole(desk.ledger, desk.spool, desk.settings, T0 + HOUR)

    assert [one.lane for one in work.due(desk.ledger, T0 + HOUR, {})] == [Lane.LIVE]


def test_status_and_trace_tell_what_is_stat(bench: Bench) -> None:
    arrive(bench, "1.1", "1.9", stat=True)
    arrivals.close_settled(bench.ledger, QUIET_S, T0 + QUIET)

    (line,) = as_object(look(bench.ledger, bench.spool))["rounds"]  # type: ignore[misc]  # JSON
    (complete,) = (one for one in timeline(bench.ledger, "1.9").events if one.what == "complete")

    assert line["lane"] == "stat"  # type: ignore[index]
    assert complete.told == "quiet for 20 s; STAT"


def test_many_studies_that_are_quiet_at_once_are_all_closed(bench: Bench) -> None:
    waiting(bench, 2 * arrivals.BITE + 1)

    with bench.ledger.reading() as db:
        states = db.execute(select(rounds.c.state)).scalars().all()
    assert states == [State.READY] * (2 * arrivals.BITE + 2)


def test_the_next_look_is_when_the_next_study_will_have_been_quiet(bench: Bench) -> None:
    """Red where it is that of a study which is quiet already and waits for its source: there would be no pause."""
    settings = Settings.model_validate({"receiving": {"quiet_s": QUIET_S}})
    now = T0 + timedelta(seconds=15)
    assert next_closing(bench.ledger, settings, now) is None
    for seconds in (-30, 5, 10):
        arrive(bench, f"1.{seconds + 31}", f"1.9.{seconds + 31}", T0 + timedelta(seconds=seconds))

    assert next_closing(bench.ledger, settings, now) == T0 + timedelta(seconds=5) + QUIET

    sender = {"ae_title": "PACS", "addresses": ["::1"], "return_port": 104, "query": True}
    asking = Settings.model_validate(
        {"receiving": {"quiet_s": QUIET_S, "ask_after_s": 7, "longest_wait_s": 60, "senders": [sender]}}
    )
    assert next_closing(bench.ledger, asking, now) == T0 + timedelta(seconds=17)


def test_a_receipt_of_before_there_was_stat_is_read(bench: Bench) -> None:
    arrive(bench, "1.1", "1.9", stat=True)
    key = bench.spool.key_for("1.1")
    path = bench.spool.image(key).with_name("receipt.json")
    path.write_text(path.read_text().replace(', "stat": true', ""))

    assert bench.spool.receipt(key) == replace(bench.spool.receipt(key), stat=False)


def test_what_a_task_has_led_to_is_in_the_queue_at_once_and_once(tmp_path: Path) -> None:
    """Red where nothing is handed on, and where it is not noted: the receiver would submit it again."""
    queue = Queue()
    to = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
    desk = open_desk(tmp_path, [Destination.model_validate(to)])
    desk.jobs = queue  # type: ignore[assignment]
    receive(desk, of_one_image())
    arrivals.close_settled(desk.ledger, QUIET_S, T0 + HOUR)
    (task,) = work.due(desk.ledger, T0 + HOUR, {})

    analyse_leased(desk, work.lease(desk.ledger, task.task_key, T0 + HOUR, 10**9), lambda _: FakeModel())

    assert [(one.work, one.lane) for one in queue.taken] == [(Work.DELIVER, Lane.LIVE)]
    desk.hand_on(work.lease(desk.ledger, queue.taken[0].task_key, T0 + 10**5 * HOUR, 600)[0].round_key)
    assert len(queue.taken) == 1


def test_a_broker_that_is_away_leaves_it_to_the_receiver(tmp_path: Path) -> None:
    to = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
    desk = open_desk(tmp_path, [Destination.model_validate(to)])
    desk.jobs = Queue(most=0)  # type: ignore[assignment]
    receive(desk, of_one_image())
    arrivals.close_settled(desk.ledger, QUIET_S, T0 + HOUR)
    (task,) = work.due(desk.ledger, T0 + HOUR, {})

    analyse_leased(desk, work.lease(desk.ledger, task.task_key, T0 + HOUR, 10**9), lambda _: FakeModel())

    (left,) = work.due(desk.ledger, T0 + 10**5 * HOUR, {})
    assert left.work is Work.DELIVER
