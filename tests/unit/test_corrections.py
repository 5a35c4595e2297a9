"""Corrected patient and study attributes: before delivery the study is reported anew, after it the change is noted."""

from datetime import datetime, timedelta

import pytest

from cxrnode.complete import sweep
from cxrnode.ledger import arrivals, outcomes, parcels, work
from cxrnode.ledger.roundlines import RoundLine, round_lines
from cxrnode.ledger.states import Fate, Work
from cxrnode.ledger.work import Lease
from cxrnode.receipt import Receipt
from cxrnode.study import Instance, Study
from tests.ledgers import LEASE_S, QUIET_S, T0, Bench

ACCEPTED = Fate.ACCEPTED
QUIET = timedelta(seconds=QUIET_S)


def analysis(bench: Bench, now: datetime) -> Lease:
    """The lease of the one analysis that is due."""
    (due,) = (task for task in work.due(bench.ledger, now, {}) if task.work is Work.ANALYSE)
    (held,) = work.lease(bench.ledger, due.task_key, now, LEASE_S)
    return held


def analysed(bench: Bench, *sent_to: str, uids: tuple[str, ...] = ("1.1",)) -> datetime:
    """A round with a report and an overlay, due at these destinations."""
    now = bench.ready(*uids)
    bench.finish(analysis(bench, now), now, objects=2, sent_to=sent_to)
    return now


def closed(bench: Bench, now: datetime) -> datetime:
    """The round that is arriving, closed; returns when."""
    assert arrivals.close_settled(bench.ledger, QUIET_S, now + QUIET) == 1
    return now + QUIET


def study(bench: Bench, held: Lease) -> Study:
    return outcomes.study_of(bench.ledger, bench.spool, held.round_key)


def lines(bench: Bench) -> dict[int, RoundLine]:
    return {line.round_number: line for line in round_lines(bench.ledger)}


def used(instance: Instance) -> tuple[str, str, bool]:
    return instance.sop_instance_uid, instance.sha256, instance.corrected


def test_a_correction_of_a_study_that_is_arriving_takes_the_place_of_the_first_copy(bench: Bench) -> None:
    first = bench.arrive("1.1")
    bench.arrive("1.2")
    sha256 = bench.correct("1.1", T0 + timedelta(seconds=15))

    assert arrivals.close_settled(bench.ledger, QUIET_S, T0 + QUIET) == 0, "the study is quiet from then on"
    now = closed(bench, T0 + timedelta(seconds=15))
    other, corrected = study(bench, analysis(bench, now)).instances

    assert used(other) == ("1.2", "0" * 64, False)
    assert used(corrected) == ("1.1", sha256, True)
    assert corrected.path.read_bytes() == b"y"
    assert (corrected.key, corrected.calling_ae) == (first, "A"), "it is the same image, which the modality sent"
    assert bench.places() == {"being analysed": 2, "correction": 1}


def test_of_several_corrections_of_one_image_the_latest_counts(bench: Bench) -> None:
    bench.arrive("1.1")
    latest = bench.correct("1.1", T0 + timedelta(seconds=9))
    bench.correct("1.1", T0 + timedelta(seconds=5))

    now = closed(bench, T0 + timedelta(seconds=9))

    assert [instance.sha256 for instance in study(bench, analysis(bench, now)).instances] == [latest]


def test_a_study_that_waits_for_analysis_is_simply_read_corrected(bench: Bench) -> None:
    now = bench.ready("1.1")

    sha256 = bench.correct("1.1", now)

    assert [instance.sha256 for instance in study(bench, analysis(bench, now)).instances] == [sha256]
    assert len(lines(bench)) == 1


def test_a_correction_while_a_study_is_being_analysed_supersedes_what_comes_of_it(bench: Bench) -> None:
    now = bench.ready("1.1")
    held = analysis(bench, now)
    sha256 = bench.correct("1.1", now)

    assert [instance.corrected for instance in study(bench, held).instances] == [False], "a retry reads the same"
    bench.finish(held, now, objects=2)
    assert (lines(bench)[1].state, lines(bench)[1].deliveries) == ("finished", {"pacs": "2 superseded"})
    assert work.due(bench.ledger, now + timedelta(days=1), {}) == []
    assert bench.places() == {"superseded before delivery": 1, "correction": 1}
    again = study(bench, analysis(bench, closed(bench, now)))
    assert [instance.sha256 for instance in again.instances] == [sha256]
    assert again.predecessor is None


def test_what_is_due_under_the_old_attributes_is_never_sent_and_the_study_is_read_again(bench: Bench) -> None:
    now = analysed(bench, "pacs", "research")

    sha256 = bench.correct("1.1", now)

    assert work.due(bench.ledger, now + timedelta(days=1), {}) == []
    assert lines(bench)[1].deliveries == {"pacs": "2 superseded", "research": "2 superseded"}
    later = closed(bench, now)
    held = analysis(bench, later)
    assert [instance.sha256 for instance in study(bench, held).instances] == [sha256]
    assert study(bench, held).predecessor is None, "nobody has its report"
    bench.finish(held, later, objects=2)
    bench.deliver(later, "pacs", ACCEPTED, ACCEPTED)
    assert {number: line.state for number, line in lines(bench).items()} == {1: "finished", 2: "finished"}
    assert not any(line.changed for line in lines(bench).values())
    assert bench.places() == {"finished, delivered": 1, "correction": 1}


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.GIVEN_UP])
def test_what_no_destination_took_is_reported_anew(bench: Bench, fate: Fate) -> None:
    now = analysed(bench, "pacs")
    bench.deliver(now, "pacs", fate, fate)

    bench.correct("1.1", now)

    assert study(bench, analysis(bench, closed(bench, now))).predecessor is None


def test_what_a_worker_was_sending_at_that_moment_counts_as_delivered(bench: Bench) -> None:
    now = analysed(bench, "pacs")
    held = bench.delivery(now, "pacs")
    report, overlay = parcels.outstanding(bench.ledger, held)

    bench.correct("1.1", now)
    assert not parcels.still_due(bench.ledger, held, overlay.sop_instance_uid)
    parcels.note_fate(bench.ledger, held, report.sop_instance_uid, ACCEPTED, status=0, reason="", now=now)
    parcels.finish_delivery(bench.ledger, held, 1.0, now)

    assert lines(bench)[1].deliveries == {"pacs": "1 accepted, 1 superseded"}
    predecessor = study(bench, analysis(bench, closed(bench, now))).predecessor
    assert predecessor is not None
    assert predecessor.sop_instance_uid == report.sop_instance_uid


def test_after_delivery_nothing_is_sent_and_the_change_is_told_without_values(bench: Bench) -> None:
    now = analysed(bench, "pacs", "away", uids=("1.1", "1.2"))
    bench.deliver(now, "pacs", ACCEPTED, Fate.REFUSED)
    before = lines(bench)[1]

    bench.correct("1.1", now, "PatientID")
    bench.correct("1.1", now + timedelta(seconds=1), "PatientID, PatientName")
    bench.correct("1.2", now, "PatientID")

    (told,) = lines(bench).values()
    assert (told.changed, told.changed_instances) == (("PatientID", "PatientName"), 2)
    assert (told.deliveries, told.state) == (before.deliveries, before.state), "what the others wait for still goes"
    assert arrivals.close_settled(bench.ledger, QUIET_S, now + timedelta(days=1)) == 0
    assert bench.places() == {"waiting for delivery": 2, "correction": 3}


def test_a_late_image_after_delivery_brings_the_corrected_attributes(bench: Bench) -> None:
    now = analysed(bench, "pacs")
    bench.deliver(now, "pacs", ACCEPTED, ACCEPTED)
    sha256 = bench.correct("1.1", now)

    late = bench.ready("1.2", at=now + timedelta(seconds=60))
    held = analysis(bench, late)
    found = study(bench, held)

    assert [used(instance) for instance in found.instances] == [("1.1", sha256, True), ("1.2", "0" * 64, False)]
    assert found.predecessor is not None
    bench.finish(held, late)
    bench.deliver(late, "pacs", ACCEPTED)
    bench.correct("1.2", late, "PatientSex")
    told = {number: line.changed for number, line in lines(bench).items()}
    assert told == {1: ("PatientID",), 2: ("PatientSex",)}, "the report that holds is the one to judge"


def test_a_second_round_that_was_not_delivered_is_reported_anew_though_the_first_was_delivered(bench: Bench) -> None:
    now = analysed(bench, "pacs")
    bench.deliver(now, "pacs", ACCEPTED, ACCEPTED)
    late = bench.ready("1.2", at=now + timedelta(seconds=60))
    bench.finish(analysis(bench, late), late, objects=2)

    bench.correct("1.1", late)

    assert lines(bench)[2].deliveries == {"pacs": "2 superseded"}
    assert lines(bench)[1].changed == ("PatientID",)
    found = study(bench, analysis(bench, closed(bench, late)))
    assert found.round_number == 3
    assert found.predecessor is not None


def test_receipts_that_waited_on_the_disk_may_be_entered_in_any_order(bench: Bench) -> None:
    for number in range(20):  # they are entered by their names, which are random: in some studies the correction first
        uid = f"1.1.{number}"
        first, second = bench.spool.key_for(uid), bench.spool.aside_key(bench.spool.key_for(uid), "1" * 64)
        came = (uid, "1.2", uid, "1.2", "1" * 64, 1, "A", "B", "::1", "1", T0.isoformat())
        bench.spool.store(b"x", Receipt(first, *came))
        bench.spool.store(b"y", Receipt(second, *came, aside_of=first, corrected="PatientID"))

    assert sweep(bench.spool, bench.ledger) == 40

    assert len(round_lines(bench.ledger)) == 20
    assert bench.places() == {"waiting for the study to be complete": 20, "correction": 20}


def test_our_own_result_come_back_with_other_attributes_is_no_correction(bench: Bench) -> None:
    now = analysed(bench, "pacs")
    with bench.ledger.reading() as db:
        uid = db.exec_driver_sql("select sop_instance_uid from objects").scalars().first()
    bench.arrive(uid, at=now)
    bench.correct(uid, now)

    assert bench.places() == {"own result": 2, "waiting for delivery": 1}
