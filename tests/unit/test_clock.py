"""A clock that jumps, back and forth: nothing waits for the hours that it lost, and nothing is done twice."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from cxrnode.errors import StaleLease
from cxrnode.ledger import arrivals, clock, planned, replays, replaytables, work
from cxrnode.ledger.planned import Hold, Known
from cxrnode.ledger.replays import Request
from cxrnode.plans.plan import Entry, Head, Origin
from tests.ledgers import LEASE_S, QUIET_S, T0, Bench

JUMP = timedelta(hours=5)
SOON = timedelta(seconds=QUIET_S)


def test_a_study_that_was_arriving_is_closed_as_soon_as_without_the_jump(bench: Bench) -> None:
    bench.arrive("1.1", at=T0)
    now = T0 - JUMP

    assert clock.put_back(bench.ledger, now) == JUMP
    assert arrivals.close_settled(bench.ledger, QUIET_S, now + SOON) == 1


def test_a_retry_waits_as_long_as_it_was_to_and_no_more(bench: Bench) -> None:
    now = bench.ready("1.1")
    (held,) = bench.lease(now)
    work.submitted(bench.ledger, [held.task_key], now)
    work.put_back(bench.ledger, held, now + timedelta(minutes=3), "later")
    now -= JUMP

    clock.put_back(bench.ledger, now)

    assert work.due(bench.ledger, now + timedelta(minutes=2), {}) == []
    assert len(work.due(bench.ledger, now + timedelta(minutes=3), {})) == 1


def test_the_task_of_a_worker_that_died_is_leased_again_when_its_lease_would_have_ended(bench: Bench) -> None:
    now = bench.ready("1.1")
    (lost,) = bench.lease(now)
    now -= JUMP

    clock.put_back(bench.ledger, now)

    assert work.lease(bench.ledger, lost.task_key, now + timedelta(seconds=LEASE_S - 1), LEASE_S) == []
    assert work.lease(bench.ledger, lost.task_key, now + timedelta(seconds=LEASE_S), LEASE_S)


def test_a_study_of_a_replay_is_due_and_held_as_long_as_without_the_jump(bench: Bench) -> None:
    """Red without a moment of the replay's own among what happened, or without either of those that are waited for."""
    head, nothing = Head(origin=Origin.SPOOL, made_at=T0), Known((), sent=False)
    replay = replays.begin(bench.ledger, Request("a", "", send=True, again=False), head, T0).key
    planned.load(bench.ledger, replay, 1, [Entry(study=uid) for uid in ("1.1", "1.2", "1.3")], T0)
    replays.loaded(bench.ledger, replay, T0)
    planned.claim(bench.ledger, replay, 1, T0, Hold(T0 + SOON), nothing)
    now = T0 - JUMP

    assert clock.put_back(bench.ledger, now) == JUMP
    with bench.ledger.reading() as db:
        assert set(db.execute(select(replaytables.planned.c.held_until)).scalars()) == {None, now + SOON}
    assert not clock.put_back(bench.ledger, now)
    assert len(planned.claim(bench.ledger, replay, 2, now, Hold(now + SOON), nothing).studies) == 2


def test_a_clock_that_goes_on_is_left_alone_and_so_is_one_that_is_a_little_behind(bench: Bench) -> None:
    """A second host's clock may be minutes ahead of ours. Red when TOLERANCE is nought."""
    bench.arrive("1.1", at=T0 + timedelta(minutes=9))

    assert not clock.put_back(bench.ledger, T0)
    assert not clock.put_back(bench.ledger, T0 + JUMP)
    assert arrivals.close_settled(bench.ledger, QUIET_S, T0 + SOON) == 0


def test_a_clock_put_forward_ends_every_lease_and_the_fence_lets_one_result_through(bench: Bench) -> None:
    now = bench.ready("1.1")
    (first,) = bench.lease(now)
    (second,) = work.lease(bench.ledger, first.task_key, now + JUMP, LEASE_S)

    with pytest.raises(StaleLease):
        bench.finish(first, now + JUMP)
    bench.finish(second, now + JUMP)
