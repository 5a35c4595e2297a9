"""Withdrawn results: cancelled where they wait, rejected where they are, once; and the account still balances."""

from datetime import datetime, timedelta

import pytest
from typer.testing import CliRunner

from cxrnode.cli import app
from cxrnode.commands.withdraw import as_reason
from cxrnode.errors import Unknown
from cxrnode.ledger import outcomes, parcels, rejections, work
from cxrnode.ledger.roundlines import RoundLine, round_lines
from cxrnode.ledger.states import Fate, Work
from cxrnode.ledger.withdrawals import Withdrawal, chosen, withdraw
from cxrnode.ledger.work import Lease
from tests.ledgers import LEASE_S, NOTE, Bench

ACCEPTED, REFUSED = Fate.ACCEPTED, Fate.REFUSED
WHY = "the threshold was wrong"


def withdrawn(bench: Bench, now: datetime) -> list[Withdrawal]:
    return [withdraw(bench.ledger, key, WHY, now) for key in chosen(bench.ledger, model="m")]


def line(bench: Bench) -> RoundLine:
    (only,) = round_lines(bench.ledger)
    return only


def owed(bench: Bench, held: Lease) -> rejections.Owed | None:
    with bench.ledger.reading() as db:
        return rejections.owed(db, held.round_key, held.destination)


def test_each_destination_is_owed_a_note_of_exactly_what_it_has(bench: Bench) -> None:
    now = bench.analysed("all", "half", "none")
    bench.deliver(now, "all", ACCEPTED, ACCEPTED)
    bench.deliver(now, "half", REFUSED, ACCEPTED)
    bench.deliver(now, "none", REFUSED, REFUSED)
    assert line(bench).state == "finished"

    withdrawn(bench, now)

    files = {name: owed(bench, bench.delivery(now, name)) for name in ("all", "half")}
    assert {name: one.files for name, one in files.items() if one} == {"all": ("f0", "f1"), "half": ("f1",)}
    assert {(one.reason, one.withdrawn_at) for one in files.values() if one} == {(WHY, now)}
    assert not work.due(bench.ledger, now, {}), "a destination that has nothing is left alone"


def test_what_is_due_is_cancelled_and_never_sent(bench: Bench) -> None:
    now = bench.analysed("away")

    (told,) = withdrawn(bench, now)

    assert (told.taken, told.cancelled) == ({}, {"away": ("report", "overlay")})
    assert work.due(bench.ledger, now + timedelta(days=1), {}) == []
    assert (line(bench).state, line(bench).deliveries) == ("finished", {"away": "2 withdrawn"})
    assert bench.places() == {"withdrawn": 1}


def test_a_note_is_delivered_like_a_result_and_the_round_is_finished_again(bench: Bench) -> None:
    now = bench.analysed("pacs")
    bench.deliver(now, "pacs", ACCEPTED, ACCEPTED)
    later = now + timedelta(days=30)

    withdrawn(bench, later)
    assert bench.places() == {"withdrawn, rejection notes wait for delivery": 1}
    held = bench.delivery(later, "pacs")
    assert held.created_at == later, "its retries are counted from the withdrawal"
    assert parcels.outstanding(bench.ledger, held) == []
    parcels.add(bench.ledger, held, NOTE)
    assert owed(bench, held) is None, "one note a destination"
    bench.answer(held, later, ACCEPTED)
    parcels.finish_delivery(bench.ledger, held, 1.0, later)

    told = line(bench)
    assert (told.state, told.objects, told.deliveries) == ("finished", 2, {"pacs": "2 accepted"})
    assert (told.withdrawn, told.withdrawn_at, told.notes) == (WHY, later, {"pacs": "1 accepted"})
    assert bench.places() == {"withdrawn": 1}


def test_a_note_that_is_refused_is_told(bench: Bench) -> None:
    now = bench.analysed("pacs")
    bench.deliver(now, "pacs", ACCEPTED, ACCEPTED)
    withdrawn(bench, now)
    held = bench.delivery(now, "pacs")
    parcels.add(bench.ledger, held, NOTE)
    bench.answer(held, now, REFUSED)
    parcels.finish_delivery(bench.ledger, held, 1.0, now)

    assert bench.places() == {"withdrawn, not all rejection notes delivered": 1}


def test_what_a_worker_was_sending_at_that_moment_is_rejected_too(bench: Bench) -> None:
    now = bench.analysed("pacs")
    held = bench.delivery(now, "pacs")
    report, overlay = parcels.outstanding(bench.ledger, held)

    withdrawn(bench, now)

    assert not parcels.still_due(bench.ledger, held, overlay.sop_instance_uid)
    parcels.note_fate(bench.ledger, held, report.sop_instance_uid, ACCEPTED, status=0, reason="", now=now)
    parcels.finish_delivery(bench.ledger, held, 1.0, now)
    assert line(bench).deliveries == {"pacs": "1 accepted, 1 withdrawn"}
    note = owed(bench, bench.delivery(now, "pacs"))
    assert note is not None
    assert note.files == ("f0",)


@pytest.mark.parametrize("fate", [Fate.DUE, Fate.REFUSED, Fate.GIVEN_UP])
def test_a_cancelled_object_is_not_brought_back_by_an_answer_to_the_last_try(bench: Bench, fate: Fate) -> None:
    now = bench.analysed("pacs")
    held = bench.delivery(now, "pacs")
    report, _overlay = parcels.outstanding(bench.ledger, held)
    withdrawn(bench, now)

    parcels.note_fate(bench.ledger, held, report.sop_instance_uid, fate, status=0xA700, reason="", now=now)
    parcels.finish_delivery(bench.ledger, held, 1.0, now)

    assert (line(bench).state, line(bench).deliveries) == ("finished", {"pacs": "2 withdrawn"})


def test_withdrawing_twice_changes_nothing_and_says_so(bench: Bench) -> None:
    now = bench.analysed("pacs", "away")
    bench.deliver(now, "pacs", ACCEPTED, ACCEPTED)
    (first,) = withdrawn(bench, now)
    before = round_lines(bench.ledger)

    (second,) = withdrawn(bench, now + timedelta(days=1))

    assert first.withdrawn_at is None
    assert (second.withdrawn_at, second.reason) == (now, WHY)
    assert (second.taken, second.cancelled) == (first.taken, first.cancelled)
    assert round_lines(bench.ledger) == before


def test_a_withdrawn_report_is_no_predecessor(bench: Bench) -> None:
    now = bench.analysed("pacs")
    bench.deliver(now, "pacs", ACCEPTED, ACCEPTED)
    withdrawn(bench, now)

    late = bench.ready("1.2", at=now + timedelta(seconds=60))
    (due,) = (task for task in work.due(bench.ledger, late, {}) if task.work is Work.ANALYSE)
    (held,) = work.lease(bench.ledger, due.task_key, late, LEASE_S)

    assert outcomes.study_of(bench.ledger, bench.spool, held.round_key).predecessor is None


@pytest.mark.parametrize("name", ["m", "m 1"])
def test_a_model_is_named_with_or_without_its_version(bench: Bench, name: str) -> None:
    bench.analysed("pacs")

    assert [one.model for one in chosen(bench.ledger, model=name).values()] == ["m 1"]


def test_a_study_is_named_by_its_key_or_by_what_the_table_shows_of_it(bench: Bench) -> None:
    bench.analysed("pacs")
    key = line(bench).study

    assert chosen(bench.ledger, study=key) == chosen(bench.ledger, study=key[:8]) != {}


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"model": "n"}, "wanted one of: m 1"),
        ({"model": "m 2"}, "wanted one of: m 1"),
        ({"study": ""}, "wanted the key of one as `cxrnode status` shows it"),
        ({"study": "%%%%%%%%"}, "wanted the key of one as `cxrnode status` shows it"),
    ],
)
def test_a_name_that_nothing_has_is_refused(bench: Bench, named: dict[str, str], told: str) -> None:
    bench.analysed("pacs")

    with pytest.raises(Unknown, match=told):
        chosen(bench.ledger, **named)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--reason", "bad"], "one of --model and --study"),
        (["--reason", "bad", "--model", "m", "--study", "k"], "one of --model and --study"),
        (["--reason", " \t", "--model", "m"], "is empty"),
        (["--model", "m"], "--reason"),
    ],
)
def test_a_withdrawal_says_of_what_and_why(arguments: list[str], told: str) -> None:
    answer = CliRunner().invoke(app, ["withdraw", *arguments])

    assert answer.exit_code == 2
    assert told in answer.output


def test_a_reason_is_one_line_that_every_character_set_carries() -> None:
    assert as_reason(" zu\tgroß,\nK\\L ") == "zu gro?, K/L"
