"""The ledger: rounds by quiet time, leases with a fence, deliveries by object, and an account that balances."""

from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import update

from cxrnode.errors import LedgerUnavailable, StaleLease
from cxrnode.ledger import Ledger, arrivals, outcomes, parcels, work
from cxrnode.ledger.database import move
from cxrnode.ledger.naming import study_key_of
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import MOVES, Fate, State, Work
from cxrnode.ledger.tables import rounds
from cxrnode.receipt import Receipt
from tests.ledgers import LEASE_S, QUIET_S, T0, Bench


def test_a_study_is_ready_when_it_has_been_quiet_long_enough_and_not_before(bench: Bench) -> None:
    bench.arrive("1.1")
    bench.arrive("1.2", at=T0 + timedelta(seconds=10))

    assert arrivals.close_settled(bench.ledger, QUIET_S, T0 + timedelta(seconds=29.9)) == 0
    assert arrivals.close_settled(bench.ledger, QUIET_S, T0 + timedelta(seconds=30)) == 1
    assert arrivals.close_settled(bench.ledger, QUIET_S, T0 + timedelta(seconds=60)) == 0


def test_a_receipt_told_twice_is_one_instance(bench: Bench) -> None:
    bench.arrive("1.1")
    bench.arrive("1.1")

    assert bench.places() == {"waiting for the study to be complete": 1}


def test_a_late_image_opens_a_round_that_covers_the_whole_study_and_names_its_predecessor(bench: Bench) -> None:
    closed_at = bench.ready("1.1")
    (first,) = bench.lease(closed_at)
    bench.finish(first, closed_at)
    late = bench.ready("1.2", at=closed_at + timedelta(seconds=60))

    due = [task for task in work.due(bench.ledger, late, {}) if task.work is Work.ANALYSE]
    (second,) = work.lease(bench.ledger, due[0].task_key, late, LEASE_S)
    study = outcomes.study_of(bench.ledger, bench.spool, second.round_key)

    assert study.round_number == 2
    assert [instance.sop_instance_uid for instance in study.instances] == ["1.1", "1.2"]
    assert study.predecessor is not None
    assert study.predecessor.series_instance_uid == "1.4"


def test_a_task_has_one_holder_until_the_lease_runs_out(bench: Bench) -> None:
    now = bench.ready("1.1")
    (first,) = bench.lease(now)

    assert work.lease(bench.ledger, first.task_key, now + timedelta(seconds=LEASE_S - 1), LEASE_S) == []
    (second,) = work.lease(bench.ledger, first.task_key, now + timedelta(seconds=LEASE_S), LEASE_S)
    assert (second.fence, second.attempts) == (first.fence + 1, 2)


def test_the_holder_of_an_old_lease_can_write_nothing(bench: Bench) -> None:
    now = bench.ready("1.1")
    (old,) = bench.lease(now)
    later = now + timedelta(seconds=LEASE_S)
    (new,) = work.lease(bench.ledger, old.task_key, later, LEASE_S)

    with pytest.raises(StaleLease):
        bench.finish(old, later)
    with pytest.raises(StaleLease):
        work.put_back(bench.ledger, old, later, "late")
    bench.finish(new, later)
    with pytest.raises(StaleLease):
        bench.finish(new, later)
    assert [line.objects for line in round_lines(bench.ledger)] == [1]


def test_several_due_studies_are_leased_together_but_a_second_attempt_goes_alone(bench: Bench) -> None:
    for study in ("1.91", "1.92", "1.93"):
        now = bench.ready(f"{study}.1", study=study)

    together = bench.lease(now, companions=1)
    assert len(together) == 2
    later = now + timedelta(seconds=LEASE_S)
    again = work.lease(bench.ledger, together[0].task_key, later, LEASE_S, companions={"live": 5})
    assert [lease.task_key for lease in again] == [together[0].task_key]


def test_what_is_due_is_told_once_then_again_when_its_lease_ran_out_or_its_queue_lost_it(bench: Bench) -> None:
    now = bench.ready("1.1")
    lanes = {(Work.ANALYSE, "live"): 10.0}

    (task,) = work.due(bench.ledger, now, {})
    assert task.study_key == study_key_of(bench.ledger, "1.9")
    work.submitted(bench.ledger, [task.task_key], now)
    assert work.due(bench.ledger, now + timedelta(seconds=60), {}) == []
    assert work.due(bench.ledger, now + timedelta(seconds=9), lanes) == []
    assert work.due(bench.ledger, now + timedelta(seconds=10), lanes) == [task]

    work.lease(bench.ledger, task.task_key, now + timedelta(seconds=1), LEASE_S)
    assert work.due(bench.ledger, now + timedelta(seconds=LEASE_S), lanes) == []
    assert work.due(bench.ledger, now + timedelta(seconds=LEASE_S + 1), {}) == [task]


def test_an_analysis_that_keeps_stopping_its_worker_is_given_up_with_a_reason(bench: Bench) -> None:
    now = bench.ready("1.1")
    for _ in range(3):
        assert work.exhausted(bench.ledger, 3, now) == []
        bench.lease(now)
        now += timedelta(seconds=LEASE_S)

    (task,) = work.due(bench.ledger, now, {})
    assert work.lease(bench.ledger, task.task_key, now, LEASE_S, max_attempts=3) == [], "not even when redelivered"
    (held,) = work.exhausted(bench.ledger, 3, now)
    outcomes.abandon(bench.ledger, held, "stopped its worker 3 times", now)

    (line,) = round_lines(bench.ledger)
    assert (line.state, line.outcome, line.reasons) == ("finished", "failed", ("stopped its worker 3 times",))
    assert work.due(bench.ledger, now + timedelta(days=1), {}) == []
    assert bench.places() == {"finished, nothing to send": 1}


def test_a_round_is_finished_when_every_destination_has_answered_for_every_object(bench: Bench) -> None:
    now = bench.ready("1.1")
    (held,) = bench.lease(now)
    bench.finish(held, now, objects=2, sent_to=("pacs", "research"))
    assert bench.places() == {"waiting for delivery": 1}

    for task in work.due(bench.ledger, now, {}):
        (delivery,) = work.lease(bench.ledger, task.task_key, now, LEASE_S)
        first, second = parcels.outstanding(bench.ledger, delivery)
        parcels.note_fate(bench.ledger, delivery, first.sop_instance_uid, Fate.ACCEPTED, status=0, reason="", now=now)
        assert parcels.outstanding(bench.ledger, delivery) == [second]
        fate = Fate.REFUSED if delivery.destination == "research" else Fate.ACCEPTED
        parcels.note_fate(bench.ledger, delivery, second.sop_instance_uid, fate, status=0xA900, reason="no", now=now)
        parcels.finish_delivery(bench.ledger, delivery, 1.0, now)

    (line,) = round_lines(bench.ledger)
    assert line.state == "finished"
    assert line.deliveries == {"pacs": "2 accepted", "research": "1 accepted, 1 refused"}
    assert bench.places() == {"finished, not all delivered": 1}


def test_our_own_result_come_back_is_recognised_and_opens_no_round(bench: Bench) -> None:
    now = bench.ready("1.1")
    (held,) = bench.lease(now)
    bench.finish(held, now)
    with bench.ledger.reading() as db:
        (uid,) = db.exec_driver_sql("select sop_instance_uid from objects").scalars()

    bench.arrive(uid, at=now)

    assert bench.places() == {"own result": 1, "waiting for delivery": 1}
    assert arrivals.close_settled(bench.ledger, QUIET_S, now + timedelta(days=1)) == 0


def test_every_instance_is_accounted_for_wherever_it_is(bench: Bench) -> None:
    now = bench.ready("1.1", "1.2")
    bench.lease(now)
    key = bench.arrive("1.3", study="1.8", at=now)
    bench.arrive("1.3", study="1.8", at=now, aside_of=key)
    unseen = Receipt("ff" * 16, "1.7", "1.2", "1.7", "1.2", "0" * 64, 1, "A", "B", "::1", "1", now.isoformat())
    bench.spool.store(b"x", unseen)

    assert bench.places() == {
        "being analysed": 2,
        "waiting for the study to be complete": 1,
        "kept aside": 1,
        "on the disk, not yet in the ledger": 1,
    }


@pytest.mark.parametrize(("start", "end"), list(product(State, State)))
def test_a_round_moves_only_as_the_table_says(bench: Bench, start: State, end: State) -> None:
    bench.arrive("1.1")
    with bench.ledger.writing() as db:
        (key,) = db.exec_driver_sql("select key from rounds").scalars()
        db.execute(update(rounds).values(state=start))
    if end in MOVES[start]:
        with bench.ledger.writing() as db:
            move(db, key, end)
        assert round_lines(bench.ledger)[0].state == end
    else:
        with pytest.raises(AssertionError, match="may not become"), bench.ledger.writing() as db:
            move(db, key, end)
        assert round_lines(bench.ledger)[0].state == start


def test_only_the_owner_may_read_the_ledger(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "sqlite")
    bench.arrive("1.1")
    bench.ledger.close()

    assert list(tmp_path.glob("ledger.sqlite*"))
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.glob("ledger.sqlite*"))


def test_a_ledger_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").mkdir()

    with pytest.raises(LedgerUnavailable):
        arrivals.known(Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}"))
