"""The receiver's loop goes on whatever the ledger or the spool hold; what it cannot make sense of stays where it is."""

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cxrnode.commands.samples import free_ports
from cxrnode.complete import give_up_exhausted, sweep
from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger import Ledger, arrivals, outcomes, work
from cxrnode.ledger.account import account
from cxrnode.ledger.roundlines import round_lines
from cxrnode.receipt import Receipt
from cxrnode.serving.reception import Reception
from cxrnode.settings import Settings
from cxrnode.spool import Spool
from tests.databases import KINDS, ledger_url
from tests.ledgers import LEASE_S, T0, Bench

MOST = 3


def tried(bench: Bench) -> datetime:
    """An analysis that has stopped its worker so often as it may; when its last lease has ended."""
    now = bench.ready("1.1")
    for _ in range(MOST):
        bench.lease(now)
        now += timedelta(seconds=LEASE_S)
    return now


def test_two_receivers_give_the_same_analysis_up_and_the_second_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red without `suppress(StaleLease)` in `give_up_exhausted`."""
    now = tried(bench)
    seen = work.exhausted(bench.ledger, MOST, now)
    outcomes.abandon(bench.ledger, seen[0], "the first receiver", now)
    monkeypatch.setattr(work, "exhausted", lambda *_: seen)

    give_up_exhausted(bench.ledger, MOST, now)

    assert [line.reasons for line in round_lines(bench.ledger)] == [("the first receiver",)]


def test_an_analysis_put_back_before_fewer_attempts_were_permitted_is_leased_once_more(bench: Bench) -> None:
    """Red when `lease` refuses what is due: it would wait for ever."""
    now = bench.ready("1.1")
    for _ in range(MOST):
        (held,) = bench.lease(now)
        work.put_back(bench.ledger, held, now, "ValueError")

    give_up_exhausted(bench.ledger, MOST - 1, now)
    (held,) = work.lease(bench.ledger, held.task_key, now, LEASE_S, max_attempts=MOST - 1)

    assert (held.attempts, held.last_error) == (MOST + 1, "ValueError")


def test_a_fault_that_nobody_thought_of_ends_no_receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red without the `except` of `_turn_whatever_happens`."""
    turns = []

    def turn(reception: Reception, _now: datetime) -> None:
        turns.append(reception)
        if len(turns) == 2:
            reception.stop()
        raise ZeroDivisionError

    monkeypatch.setattr(Reception, "turn", turn)
    settings = {
        "node": {"state_dir": tmp_path},
        "receiving": {"reserve_gb": 0, "port": free_ports(1)[0]},
        "queue": {"reconcile_s": 0.01},
    }
    Reception(Settings.model_validate(settings)).run()

    assert len(turns) == 2


def test_one_receipt_that_cannot_be_read_keeps_no_other_from_the_ledger(bench: Bench) -> None:
    """Red when `sweep` reads receipts within the transaction, or lets a damaged one through."""
    for number in range(3):
        receipt = Receipt(bench.spool.key_for(f"1.{number}"), f"1.{number}", *"abcd", 1, *"jklm", T0.isoformat())
        bench.spool.store(b"x", receipt)
    damaged = bench.spool.image(bench.spool.key_for("1.1")).with_name("receipt.json")
    damaged.write_text("{")

    assert sweep(bench.spool, bench.ledger) == 2
    assert bench.places() == {"on the disk, not yet in the ledger": 1, "waiting for the study to be complete": 2}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [{"received_at": "never"}, {"study_instance_uid": "\ud800"}], ids=str)
def test_one_receipt_that_the_ledger_does_not_take_keeps_no_other_back(
    tmp_path: Path, kind: str, wrong: dict[str, str]
) -> None:
    """Seen red: each turn failed at it, and nothing was entered any more."""
    url = ledger_url(tmp_path, kind)
    settings = {"node": {"state_dir": tmp_path}, "receiving": {"reserve_gb": 0}, "ledger": {"url": url}}
    reception, ledger = Reception(Settings.model_validate(settings)), Ledger(url)
    spool = Spool(tmp_path / "spool")
    receipts = [
        Receipt(spool.key_for(f"1.{number}"), f"1.{number}", *"abcd", 1, *"jklm", T0.isoformat()) for number in range(3)
    ]
    receipts[1] = replace(receipts[1], **wrong)
    for receipt in receipts[:2]:
        spool.store(b"x", receipt)
    reception.turn(T0)
    spool.store(b"x", receipts[2])
    reception.note(receipts[2])
    reception.turn(T0)

    assert {receipts[0].key, receipts[2].key} <= arrivals.known(ledger)
    ledger.close()


def test_what_a_receiver_on_the_same_spool_left_behind_is_entered_by_another(tmp_path: Path) -> None:
    """Red without `_look_through_a_part`: it would wait until any receiver is started anew."""
    settings = Settings.model_validate({"node": {"state_dir": tmp_path}, "receiving": {"reserve_gb": 0}})
    reception, ledger = Reception(settings), Ledger(settings.ledger_url)
    spool, now = Spool(settings.node.spool_dir), T0
    reception.turn(now)
    spool.store(b"x", Receipt(spool.key_for("1.1"), "1.1", *"abcd", 1, *"jklm", T0.isoformat()))

    def place() -> str:
        (line,) = account(ledger, spool).lines
        return line.place

    while place() == "on the disk, not yet in the ledger":
        now += timedelta(seconds=1)
        assert now < T0 + timedelta(minutes=20)
        reception.turn(now)

    assert place() == "waiting for the study to be complete"


def test_an_instance_that_is_gone_from_the_disk_does_not_balance(bench: Bench) -> None:
    """Red when the total is made from the ledger as well."""
    key = bench.arrive("1.1")
    bench.arrive("1.2")
    shutil.rmtree(bench.spool.image(key).parent)

    told = account(bench.ledger, bench.spool)

    assert (told.total, told.balanced) == (1, False)


def test_a_damaged_file_is_a_ledger_that_is_away(tmp_path: Path) -> None:
    """Red when DatabaseError itself is let through `Ledger._away`."""
    file = tmp_path / "ledger.sqlite"
    file.write_bytes(b"no database at all " * 500)

    with pytest.raises(LedgerUnavailable, match="not a database"):
        arrivals.known(Ledger(f"sqlite:///{file}"))
