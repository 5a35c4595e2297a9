"""Storage commitment in the ledger: what reports in any order make of a round's objects, under a lease that holds."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from pydicom import Dataset

from cxrnode.commitment import Report, report_in
from cxrnode.errors import StaleLease, Unreadable
from cxrnode.ledger import commitments, parcels, rejections, work
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import Fate, Work
from cxrnode.ledger.withdrawals import chosen, withdraw
from cxrnode.ledger.work import Lease
from tests.ledgers import LEASE_S, NOTE, Bench

TIMEOUT_S = 60.0
FAILED = 0x0112


def sent(bench: Bench, *sent_to: str) -> datetime:
    """A round of a report and an overlay that these destinations accepted and are to be asked about."""
    now = bench.analysed(*sent_to)
    for destination in sent_to:
        send(bench, now, destination)
    return now


def send(bench: Bench, now: datetime, destination: str = "pacs") -> None:
    held = bench.delivery(now, destination)
    bench.answer(held, now, Fate.ACCEPTED, Fate.ACCEPTED)
    parcels.finish_delivery(bench.ledger, held, 1.0, now, commit=True)


def held_for(bench: Bench, now: datetime) -> Lease:
    (task,) = (task for task in work.due(bench.ledger, now, {}) if task.work is Work.COMMIT)
    (held,) = work.lease(bench.ledger, task.task_key, now, LEASE_S)
    return held


def ask(bench: Bench, now: datetime) -> tuple[str, list[str]]:
    """A request that the archive took; its Transaction UID and the objects that it names."""
    held = held_for(bench, now)
    request = commitments.ask(bench.ledger, held)
    commitments.asked(bench.ledger, request.transaction_uid, now)
    commitments.wait(bench.ledger, held, now + timedelta(seconds=TIMEOUT_S), "waiting", now)
    return request.transaction_uid, [uid for _, uid in request.objects]


def report(bench: Bench, now: datetime, uid: str, committed: Sequence[str], failed: Sequence[str] = ()) -> None:
    assert commitments.record(
        bench.ledger, Report(uid, frozenset(committed), dict.fromkeys(failed, FAILED)), ["pacs"], now
    )


def conclude(bench: Bench, now: datetime) -> commitments.Standing:
    held = held_for(bench, now)
    standing = commitments.conclude(bench.ledger, held, TIMEOUT_S, now)
    commitments.finish(bench.ledger, held, "", now)
    return standing


def told(bench: Bench) -> tuple[str, dict[str, str]]:
    (line,) = round_lines(bench.ledger)
    return line.state, line.deliveries


def test_a_round_is_finished_when_the_last_destination_has_committed_itself(bench: Bench) -> None:
    """Red with `add_task(db, Work.COMMIT, ...)` removed from `parcels.finish_delivery`.

    And, at the end, without `if found.reported_at is not None` in `commitments.record`.
    """
    now = sent(bench, "pacs")
    assert bench.places() == {"waiting for commitment": 1}
    uid, objects = ask(bench, now)
    assert work.due(bench.ledger, now, {}) == [], "nothing is to be done before the report"

    report(bench, now, uid, objects)
    assert told(bench) == ("analysed", {"pacs": "2 accepted"}), "a report is concluded from under the lease alone"
    conclude(bench, now)

    report(bench, now, uid, objects)
    assert told(bench) == ("finished", {"pacs": "2 committed"})
    assert bench.places() == {"finished, delivered": 1}


def test_an_older_report_s_failure_is_no_news_and_its_success_is(bench: Bench) -> None:
    """Red without `and latest` in `commitments._conclude`: what is just being asked about anew would be sent again."""
    now = sent(bench, "pacs")
    first, (one, other) = ask(bench, now)
    later = now + timedelta(seconds=TIMEOUT_S)
    second, _ = ask(bench, later)

    report(bench, later, first, [one], [other])
    conclude(bench, later)
    assert told(bench) == ("analysed", {"pacs": "1 accepted, 1 committed"})
    report(bench, later, second, [other], [one])
    conclude(bench, later)

    assert told(bench) == ("finished", {"pacs": "2 committed"}), "what is committed stays committed"


def test_a_report_that_comes_twice_is_concluded_from_once(bench: Bench) -> None:
    """Red without `one.concluded_at is None` in `commitments.conclude`: the object is sent a third time."""
    now = sent(bench, "pacs")
    uid, (one, other) = ask(bench, now)
    report(bench, now, uid, [one], [other])
    conclude(bench, now)
    assert told(bench) == ("analysed", {"pacs": "1 committed, 1 due"})
    send(bench, now)

    report(bench, now, uid, [one], [other])
    held = held_for(bench, now)
    assert commitments.conclude(bench.ledger, held, TIMEOUT_S, now).waiting == 1

    assert told(bench) == ("analysed", {"pacs": "1 accepted, 1 committed"})


def test_a_worker_whose_lease_ran_out_neither_asks_nor_concludes(bench: Bench) -> None:
    """Red without `require(db, held)` in `commitments.ask` and `conclude`."""
    now = sent(bench, "pacs")
    late = held_for(bench, now)
    held_for(bench, now + timedelta(seconds=LEASE_S))

    with pytest.raises(StaleLease):
        commitments.ask(bench.ledger, late)
    with pytest.raises(StaleLease):
        commitments.conclude(bench.ledger, late, TIMEOUT_S, now)
    with pytest.raises(StaleLease):
        commitments.finish(bench.ledger, late, "", now, accepted_is_enough=True)


def test_a_report_that_comes_while_the_lease_is_given_back_makes_the_task_due_at_once(bench: Bench) -> None:
    """Red with `due_at=until` alone in `commitments.wait`: the round would wait until the report is overdue."""
    now = sent(bench, "pacs")
    held = held_for(bench, now)
    request = commitments.ask(bench.ledger, held)
    commitments.asked(bench.ledger, request.transaction_uid, now)
    report(bench, now, request.transaction_uid, [uid for _, uid in request.objects])

    commitments.wait(bench.ledger, held, now + timedelta(hours=1), "waiting", now)

    conclude(bench, now)
    assert told(bench) == ("finished", {"pacs": "2 committed"})


def test_what_is_committed_is_rejected_when_it_is_withdrawn_and_the_note_is_to_be_committed_too(bench: Bench) -> None:
    """Red with `TAKEN` made `(Fate.ACCEPTED,)`: no note would be owed for what is committed."""
    now = sent(bench, "pacs")
    report(bench, now, *ask(bench, now))
    conclude(bench, now)

    (withdrawn,) = (withdraw(bench.ledger, key, "found bad", now) for key in chosen(bench.ledger, model="m"))
    assert withdrawn.taken == {"pacs": ("report", "overlay")}
    held = bench.delivery(now, "pacs")
    with bench.ledger.reading() as db:
        owed = rejections.owed(db, held.round_key, "pacs")
    assert owed is not None
    assert owed.files == ("f0", "f1")
    parcels.add(bench.ledger, held, NOTE)
    bench.answer(held, now, Fate.ACCEPTED)
    parcels.finish_delivery(bench.ledger, held, 1.0, now, commit=True)
    assert bench.places() == {"waiting for commitment": 1}

    uid, objects = ask(bench, now)
    assert objects == [NOTE.sop_instance_uid]
    report(bench, now, uid, objects)
    conclude(bench, now)
    assert bench.places() == {"withdrawn": 1}


def test_withdrawn_results_are_not_sent_again_when_they_fail(bench: Bench) -> None:
    """Red without the question for `withdrawals` in `commitments._fail`."""
    now = sent(bench, "pacs")
    uid, (one, other) = ask(bench, now)
    for key in chosen(bench.ledger, model="m"):
        withdraw(bench.ledger, key, "found bad", now)
    report(bench, now, uid, [one], [other])
    conclude(bench, now)

    assert told(bench)[1] == {"pacs": "1 committed, 1 withdrawn"}


def test_one_destination_s_report_says_nothing_of_another(bench: Bench) -> None:
    now = sent(bench, "pacs", "research")
    tasks = [task for task in work.due(bench.ledger, now, {}) if task.work is Work.COMMIT]
    leases = [held for task in tasks for held in work.lease(bench.ledger, task.task_key, now, LEASE_S)]
    requests = {held.destination: (held, commitments.ask(bench.ledger, held)) for held in leases}

    held, request = requests["pacs"]
    report(bench, now, request.transaction_uid, [uid for _, uid in request.objects])
    commitments.conclude(bench.ledger, held, TIMEOUT_S, now)
    commitments.finish(bench.ledger, held, "", now)

    assert told(bench) == ("analysed", {"pacs": "2 committed", "research": "2 accepted"})
    assert bench.places() == {"waiting for commitment": 1}


def test_an_object_that_a_report_both_commits_and_fails_has_failed() -> None:
    def item(uid: str, reason: int | None = None) -> Dataset:
        made = Dataset()
        made.ReferencedSOPInstanceUID = uid
        if reason is not None:
            made.FailureReason = reason
        return made

    told = Dataset()
    told.TransactionUID = "1.2"
    told.ReferencedSOPSequence = [item("1.3"), item("1.4")]
    told.FailedSOPSequence = [item("1.4", FAILED), item("1.5")]

    assert report_in(told) == Report("1.2", frozenset({"1.3"}), {"1.4": FAILED, "1.5": 0x0110})
    with pytest.raises(Unreadable, match="TransactionUID"):
        report_in(Dataset())
