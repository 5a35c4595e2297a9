"""What waits for a person is listed with its reason, and begun anew once; nothing that was accepted is sent again."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cxrnode.cli import app
from cxrnode.errors import Unknown
from cxrnode.ledger import arrivals, outcomes, parcels, work
from cxrnode.ledger.quarantine import Waiting, reopen, waiting
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import Fate, Work
from cxrnode.ledger.withdrawals import chosen, withdraw
from cxrnode.ledger.work import Lease
from tests.ledgers import NOTE, QUIET_S, Bench

ACCEPTED, REFUSED, GIVEN_UP = Fate.ACCEPTED, Fate.REFUSED, Fate.GIVEN_UP
POISON = "stopped its worker 3 times"
LATER = timedelta(days=1)


def given_up(bench: Bench, *uids: str) -> datetime:
    """A study of these images whose analysis was given up; when it was."""
    now = bench.ready(*uids)
    (held,) = bench.lease(now)
    outcomes.abandon(bench.ledger, held, POISON, now)
    return now


def sent(bench: Bench, **fates: tuple[Fate, Fate]) -> datetime:
    """A study whose report and overlay had these fates at these destinations; when that was."""
    now = bench.analysed(*fates)
    for destination, made in fates.items():
        bench.deliver(now, destination, *made)
    return now


def only(bench: Bench) -> Waiting:
    (one,) = waiting(bench.ledger)
    return one


def retry(bench: Bench, now: datetime) -> list[bool]:
    return [reopen(bench.ledger, one, now) for one in waiting(bench.ledger)]


def dues(bench: Bench, now: datetime) -> list[Lease]:
    """Everything that is due, leased."""
    return [one for task in work.due(bench.ledger, now, {}) for one in work.lease(bench.ledger, task.task_key, now, 1)]


def test_an_analysis_that_was_given_up_waits_with_its_reason_attempts_and_since_when(bench: Bench) -> None:
    now = given_up(bench, "1.1")

    one = only(bench)
    assert (one.round_number, one.destination, one.objects) == (1, "", 0)
    assert (one.reason, one.attempts, one.since) == (POISON, 1, now)


def test_it_is_read_again_in_a_round_of_its_own_with_all_attempts_before_it(bench: Bench) -> None:
    """Red without `read_again` in `_analyse_again`, and with its task made due instead."""
    later = given_up(bench, "1.1", "1.2") + LATER

    assert retry(bench, later) == [True]
    assert bench.places() == {"waiting for analysis": 2}
    (held,) = bench.lease(later)
    study = outcomes.study_of(bench.ledger, bench.spool, held.round_key)
    assert (study.round_number, len(study.instances), held.attempts) == (2, 2, 1)
    bench.finish(held, later)

    second, first = round_lines(bench.ledger)
    assert (first.state, first.outcome, first.last_error) == ("finished", "failed", POISON)
    assert (second.state, second.outcome) == ("analysed", "negative")
    assert waiting(bench.ledger) == []


def test_asked_twice_it_is_begun_once(bench: Bench) -> None:
    """Red when `_analyse_again` does not ask `given_up` again, or `_send_again` does not ask `not_taken`."""
    later = given_up(bench, "1.1") + LATER
    one = only(bench)

    assert [reopen(bench.ledger, one, later), reopen(bench.ledger, one, later)] == [True, False]
    assert len(round_lines(bench.ledger)) == 2
    assert len(work.due(bench.ledger, later, {})) == 1


def test_a_late_image_takes_an_analysis_out_of_quarantine(bench: Bench) -> None:
    """Red without `_latest()` in `given_up`."""
    later = given_up(bench, "1.1") + LATER
    one = only(bench)
    bench.arrive("1.2", at=later)

    assert waiting(bench.ledger) == []
    assert not reopen(bench.ledger, one, later)
    arrivals.close_settled(bench.ledger, QUIET_S, later + timedelta(seconds=QUIET_S))
    assert [line.round_number for line in round_lines(bench.ledger)] == [2, 1]


def test_only_what_was_not_accepted_is_sent_again_and_only_where_it_was_not(bench: Bench) -> None:
    """Red when `not_taken` takes Fate.ACCEPTED in, and when `_send_again` forgets the destination."""
    later = sent(bench, pacs=(ACCEPTED, REFUSED), research=(GIVEN_UP, GIVEN_UP), old=(ACCEPTED, ACCEPTED)) + LATER

    told = {one.destination: one.objects for one in waiting(bench.ledger)}
    assert told == {"pacs": 1, "research": 2}
    assert retry(bench, later) == [True, True]
    held = dues(bench, later)
    assert {one.destination: len(parcels.outstanding(bench.ledger, one)) for one in held} == told
    assert all(one.created_at == later for one in held), "their patience starts anew"
    for one in held:
        bench.answer(one, later, ACCEPTED, ACCEPTED)
        parcels.finish_delivery(bench.ledger, one, 1.0, later)

    (line,) = round_lines(bench.ledger)
    assert (line.state, set(line.deliveries.values())) == ("finished", {"2 accepted"})
    assert bench.places() == {"finished, delivered": 1}
    assert waiting(bench.ledger) == []


def test_a_delivery_asked_for_twice_is_due_once(bench: Bench) -> None:
    later = sent(bench, pacs=(REFUSED, REFUSED)) + LATER
    one = only(bench)

    assert [reopen(bench.ledger, one, later), reopen(bench.ledger, one, later)] == [True, False]
    assert len(dues(bench, later)) == 1


def test_a_delivery_under_way_is_left_alone(bench: Bench) -> None:
    """Red without the look at TaskState.LEASED: its worker would end the task over an object that is due."""
    now = bench.ready("1.1")
    (held,) = bench.lease(now)
    bench.finish(held, now, objects=2, sent_to=("pacs",))
    delivery = bench.delivery(now, "pacs")
    bench.answer(delivery, now, REFUSED)

    assert not reopen(bench.ledger, only(bench), now)
    bench.answer(delivery, now, ACCEPTED)
    parcels.finish_delivery(bench.ledger, delivery, 1.0, now)
    assert reopen(bench.ledger, only(bench), now)


def test_results_that_a_later_round_replaces_are_not_sent_again(bench: Bench) -> None:
    later = sent(bench, pacs=(REFUSED, REFUSED)) + LATER
    bench.ready("1.2", at=later)

    assert waiting(bench.ledger) == []


def test_withdrawn_results_are_not_sent_again_but_their_notes_are(bench: Bench) -> None:
    """Red without `withdrawals` in `not_taken`: the refused overlay would go out after its report's rejection."""
    now = sent(bench, pacs=(ACCEPTED, REFUSED))
    (key,) = chosen(bench.ledger, model="m")
    withdraw(bench.ledger, key, "wrong", now)
    assert waiting(bench.ledger) == []
    held = bench.delivery(now, "pacs")
    parcels.add(bench.ledger, held, NOTE)
    bench.answer(held, now, REFUSED)
    parcels.finish_delivery(bench.ledger, held, 1.0, now)
    bench.ready("1.2", at=now + LATER)

    assert only(bench).objects == 1
    assert retry(bench, now + LATER) == [True]
    (again,) = (one for one in dues(bench, now + LATER) if one.destination)
    assert [parcel.sop_instance_uid for parcel in parcels.outstanding(bench.ledger, again)] == [NOTE.sop_instance_uid]


def test_a_study_is_named_by_its_key_by_its_beginning_or_by_its_uid(bench: Bench) -> None:
    given_up(bench, "1.1")
    key = only(bench).study

    assert [len(waiting(bench.ledger, name)) for name in (key, key[:8], "1.9")] == [1, 1, 1]
    for name in (key[:7], "1.90", ""):
        with pytest.raises(Unknown, match="means no study; wanted the key"):
            waiting(bench.ledger, name)


def test_the_commands_list_show_and_begin(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up(bench, "1.1")
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(tmp_path))

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return done.output

    assert "worker 3 times" in run("quarantine")
    assert json.loads(run("quarantine", "--json"))[0]["attempts"] == 1
    assert "would be begun anew: 1" in run("retry", "--failed", "--dry-run")
    assert json.loads(run("retry", "1.9", "--json"))["waiting"][0]["begun"]
    assert "Nothing waits for a person" in run("retry", "1.9")
    assert (
        CliRunner().invoke(app, ["retry"]).exit_code
        == CliRunner().invoke(app, ["retry", "a", "--failed"]).exit_code
        == 2
    )
    assert [task.work for task in work.due(bench.ledger, round_lines(bench.ledger)[0].last_received_at, {})] == [
        Work.ANALYSE
    ]
