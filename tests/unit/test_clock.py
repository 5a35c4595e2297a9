"""A clock that jumps, back and forth: nothing waits for the hours that it lost, and nothing is done twice."""

from datetime import timedelta

import pytest

from cxrnode.errors import StaleLease
from cxrnode.ledger import arrivals, clock, work
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
