"""Bytes go when their time is over and nothing is owed, never before; a crash loses nothing, and counts sum."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import settings as drawn
from hypothesis import strategies as st
from sqlalchemy import insert, select
from typer.testing import CliRunner

from cxrnode.cli import app
from cxrnode.complete import sweep
from cxrnode.intake import keep
from cxrnode.ledger import arrivals, outcomes, parcels, tallies, work
from cxrnode.ledger.account import account
from cxrnode.ledger.parcels import ObjectRow
from cxrnode.ledger.purges import begin, expired
from cxrnode.ledger.tables import Fate, Work, deliveries, objects, purges, rounds, studies, tasks, withdrawals
from cxrnode.ledger.timeline import timeline
from cxrnode.ledger.withdrawals import chosen, withdraw
from cxrnode.ledger.work import Lease
from cxrnode.reception import Reception
from cxrnode.retention import BITE, purge
from cxrnode.settings import Node, Retention, Settings
from cxrnode.spool import Receipt, Spool
from tests.ledgers import LEASE_S, QUIET_S, T0, Bench
from tests.unit.test_spool import RECEIPT

DAYS = 30.0
LATER = T0 + timedelta(days=DAYS + 1)
ACCEPTED, REFUSED, GIVEN_UP, DUE = Fate.ACCEPTED, Fate.REFUSED, Fate.GIVEN_UP, Fate.DUE


def leased(bench: Bench, study: str, kind: Work, at: datetime, destination: str = "") -> Lease:
    """The lease of a task of this study that is due."""
    with bench.ledger.reading() as db:
        mine = (tasks.c.work == kind, tasks.c.destination == destination, studies.c.study_instance_uid == study)
        joined = select(tasks.c.key).select_from(tasks.join(rounds).join(studies, studies.c.key == rounds.c.study_key))
        (key,) = db.execute(joined.where(*mine).order_by(rounds.c.number.desc()).limit(1)).scalars()
    (held,) = work.lease(bench.ledger, key, at, LEASE_S)
    return held


def deliver(bench: Bench, study: str, at: datetime, destination: str, *fates: Fate) -> None:
    """A delivery of which every object has one of these fates; while one is due, so is the task."""
    held = leased(bench, study, Work.DELIVER, at, destination)
    bench.answer(held, at, *fates)
    if DUE in fates:
        work.put_back(bench.ledger, held, at, "")
    else:
        parcels.finish_delivery(bench.ledger, held, 1.0, at)


def live(bench: Bench, study: str, number: int, end: str, fates: tuple[Fate, Fate], at: datetime = T0) -> None:
    """One more round of a study of one more image, lived until `end`."""
    bench.arrive(f"{study}.{number}", study, at)
    if end == "arriving":
        return None
    arrivals.close_settled(bench.ledger, QUIET_S, at + timedelta(seconds=QUIET_S))
    at += timedelta(minutes=1)
    if end == "ready":
        return None
    held = leased(bench, study, Work.ANALYSE, at)
    if end == "given up":
        return outcomes.abandon(bench.ledger, held, "stopped its worker", at)
    if end == "nothing to send":
        return bench.finish(held, at, sent_to=())
    bench.finish(held, at, objects=2, sent_to=("pacs",))
    for name in ("f0", "f1"):
        bench.spool.keep_result(held.round_key, name, b"result")
    deliver(bench, study, at, "pacs", *fates)
    if end.startswith("withdrawn"):
        withdraw(bench.ledger, held.round_key, "wrong", at)
    if end == "withdrawn, note refused" and ACCEPTED in fates:
        again = leased(bench, study, Work.DELIVER, at, "pacs")
        note = f"2.25.9{int(held.round_key, 16) % 10**20}"
        parcels.add(bench.ledger, again, ObjectRow(note, "1.2", "1.5", "rejection", "n", "0" * 64))
        bench.answer(again, at, REFUSED)
        parcels.finish_delivery(bench.ledger, again, 1.0, at)
    return None


def something_is_owed(bench: Bench, study: str) -> bool:
    """The rule once more, told of one study in plain words."""
    with bench.ledger.reading() as db:
        key = db.execute(select(studies.c.key).where(studies.c.study_instance_uid == study)).scalar_one()
        of_study = db.execute(select(rounds).where(rounds.c.study_key == key).order_by(rounds.c.number)).all()
        taken_back = set(db.execute(select(withdrawals.c.round_key)).scalars())
        for one in of_study:
            jobs = db.execute(select(tasks).where(tasks.c.round_key == one.key)).all()
            sent = db.execute(
                select(objects.c.role, deliveries.c.fate).join(deliveries).where(objects.c.round_key == one.key)
            )
            stands = one is of_study[-1] and one.key not in taken_back
            if one.state != "finished" or any(job.state in {"due", "leased"} for job in jobs):
                return True
            if one is of_study[-1] and any(job.state == "abandoned" for job in jobs):
                return True
            for role, fate in sent:
                if fate == "due" or (fate in {"refused", "given up"} and (stands or role == "rejection")):
                    return True
    return False


ENDS = ("arriving", "ready", "given up", "nothing to send", "delivered", "withdrawn", "withdrawn, note refused")
ROUND = st.tuples(
    st.sampled_from(ENDS), st.tuples(*[st.sampled_from([ACCEPTED, ACCEPTED, REFUSED, GIVEN_UP, DUE])] * 2)
)


@drawn(deadline=None, max_examples=60)
@given(lives=st.lists(st.lists(ROUND, min_size=1, max_size=2), min_size=1, max_size=4), young=st.booleans())
def test_what_is_still_owed_is_never_removed_and_all_else_is(
    tmp_path_factory: pytest.TempPathFactory, lives: list[list[tuple[str, tuple[Fate, Fate]]]], *, young: bool
) -> None:
    """Red when the selects of open rounds and tasks, of `given_up` or of SETTLED are left out of `owed`."""
    bench = Bench(tmp_path_factory.mktemp("ledger"))
    for index, ends in enumerate(lives):
        for number, (end, fates) in enumerate(ends, start=1):
            live(bench, f"1.9{index}", number, end, fates, T0 + timedelta(hours=number))
            if end in {"arriving", "ready"}:
                break
    names = [f"1.9{index}" for index in range(len(lives))]
    kept = {study for study in names if young or something_is_owed(bench, study)}
    before = set(bench.spool.root.rglob("*.dcm"))

    purge(bench.ledger, bench.spool, DAYS, LATER - timedelta(days=2) if young else LATER)

    told = account(bench.ledger, bench.spool)
    assert told.balanced
    for study in names:
        places = files_of(bench, study)
        assert {path.exists() for path in places & before} <= {study in kept}, (study, kept)
    gone = sum(line.instances for line in told.lines if line.place == "purged after 30 days")
    assert gone == told.total - sum(path.exists() for path in before if path.name == "image.dcm")
    bench.ledger.close()


def files_of(bench: Bench, study: str) -> set[Path]:
    """Every file that may lie on the disk of a study."""
    with bench.ledger.reading() as db:
        joined = select(objects.c.round_key, objects.c.file).select_from(
            objects.join(rounds).join(studies, studies.c.key == rounds.c.study_key)
        )
        results = db.execute(joined.where(studies.c.study_instance_uid == study)).all()
    images = {bench.spool.image(bench.spool.key_for(f"{study}.{number}")) for number in (1, 2)}
    return images | {bench.spool.result(row.round_key, row.file) for row in results}


def delivered(bench: Bench, study: str = "1.9", at: datetime = T0, number: int = 1) -> None:
    live(bench, study, number, "delivered", (ACCEPTED, ACCEPTED), at)


def test_nothing_is_removed_for_ever_by_default_and_never_early(bench: Bench) -> None:
    """Red without the first two lines of `expired`."""
    delivered(bench)

    assert purge(bench.ledger, bench.spool, 0.0, LATER) == 0
    assert purge(bench.ledger, bench.spool, DAYS, LATER - timedelta(days=2)) == 0
    assert purge(bench.ledger, bench.spool, DAYS, LATER) == 1
    assert purge(bench.ledger, bench.spool, DAYS, LATER) == 0
    assert bench.places() == {"purged after 30 days": 1}


def test_the_days_count_from_the_end_not_from_the_arrival(bench: Bench) -> None:
    """Red without `finished_at` in `_expired`'s last `having`."""
    live(bench, "1.9", 1, "delivered", (DUE, DUE))
    deliver(bench, "1.9", LATER - timedelta(days=1), "pacs", ACCEPTED, ACCEPTED)

    assert purge(bench.ledger, bench.spool, DAYS, LATER) == 0
    assert purge(bench.ledger, bench.spool, DAYS, LATER + timedelta(days=DAYS)) == 1


def test_the_reconciler_purges_as_the_settings_say(bench: Bench, tmp_path: Path) -> None:
    """Red without the call of `purge` in `Reception.turn`."""
    delivered(bench)
    settings = Settings(node=Node(state_dir=tmp_path), retention=Retention(keep_days=DAYS))
    reception = Reception(settings)

    reception.turn(LATER - timedelta(days=2))
    assert bench.places() == {"finished, delivered": 1}
    reception.turn(LATER)
    assert bench.places() == {"purged after 30 days": 1}


def test_the_oldest_go_first_a_bite_at_a_time(bench: Bench) -> None:
    """Red without `order_by` in `_expired`."""
    for index in reversed(range(BITE + 2)):
        delivered(bench, f"1.8{index}", T0 + timedelta(hours=index))

    assert purge(bench.ledger, bench.spool, DAYS, LATER) == BITE
    left = {index for index in range(BITE + 2) if any(path.exists() for path in files_of(bench, f"1.8{index}"))}
    assert left == {BITE, BITE + 1}


def test_a_crash_before_the_bytes_are_gone_is_made_good_by_the_next_turn(bench: Bench) -> None:
    """Red when `removed` is called before the bytes are."""
    delivered(bench)
    with patch.object(Spool, "purge_image", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        purge(bench.ledger, bench.spool, DAYS, LATER)
    assert bench.places() == {"purged after 30 days": 1}
    assert bench.spool.image(bench.spool.key_for("1.9.1")).exists()

    assert purge(bench.ledger, bench.spool, 0.0, LATER) == 1, "even where nothing more is to go"
    assert not [path for path in files_of(bench, "1.9") if path.exists()]


def test_an_image_that_comes_between_the_look_and_the_purge_keeps_the_study(bench: Bench) -> None:
    """Red without the second look in `begin`."""
    delivered(bench)
    tallies.settle(bench.ledger)
    (found,) = expired(bench.ledger, DAYS, LATER)
    bench.arrive("1.9.2", "1.9", LATER)

    assert not begin(bench.ledger, found.study, DAYS, LATER)
    assert bench.places() == {"finished, delivered": 1, "waiting for the study to be complete": 1}


def test_a_late_image_of_a_purged_study_is_read_alone_and_supersedes_nothing(bench: Bench) -> None:
    """Red without `kept` in `_covered`, and without `purged_rounds` in `_predecessor`."""
    delivered(bench)
    purge(bench.ledger, bench.spool, DAYS, LATER)
    bench.arrive("1.9.2", "1.9", LATER)
    arrivals.close_settled(bench.ledger, QUIET_S, LATER + timedelta(minutes=1))
    held = leased(bench, "1.9", Work.ANALYSE, LATER + timedelta(minutes=1))

    study = outcomes.study_of(bench.ledger, bench.spool, held.round_key)
    assert ([one.sop_instance_uid for one in study.instances], study.predecessor) == (["1.9.2"], None)
    assert bench.places() == {"purged after 30 days": 1, "being analysed": 1}
    assert "purged" in [event.what for event in timeline(bench.ledger, "1.9").events]


def receipt(spool: Spool, sha256: str) -> Receipt:
    return replace(RECEIPT, key=spool.key_for(RECEIPT.sop_instance_uid), sha256=sha256 * 64)


def test_a_purged_image_that_comes_again_is_a_duplicate_and_other_content_is_kept_aside(tmp_path: Path) -> None:
    """Red when `purge_image` removes the receipt too, without `restore`, and without the `except` in `_changed`."""
    spool = Spool(tmp_path)
    first = keep(spool, b"first", receipt(spool, "a"))
    spool.purge_image(first.key)

    aside = keep(spool, b"other", receipt(spool, "b"))
    assert (aside.aside_of, aside.corrected) == (first.key, "")
    assert spool.image(aside.key).read_bytes() == b"other"
    assert keep(spool, b"first", receipt(spool, "a")) == first
    assert spool.image(first.key).read_bytes() == b"first"


def test_bytes_that_nobody_wants_again_are_removed_again_by_the_next_turn(bench: Bench) -> None:
    """Red without `came_again` in `enter`: they would lie there for ever."""
    came = receipt(bench.spool, "a")
    arrivals.note(bench.ledger, [keep(bench.spool, b"first", came)])
    with bench.ledger.writing() as db:
        purged = {"instance_key": came.key, "keep_days": 1.0, "at": T0, "removed_at": T0}
        db.execute(insert(purges).values(round_key=db.execute(select(rounds.c.key)).scalar_one(), **purged))
    bench.spool.purge_image(came.key)

    arrivals.note(bench.ledger, [keep(bench.spool, b"first", came)])
    assert bench.spool.image(came.key).exists()
    purge(bench.ledger, bench.spool, 1.0, T0)
    assert not bench.spool.image(came.key).exists()


def test_a_lost_ledger_is_not_told_of_images_that_are_gone(bench: Bench) -> None:
    """Red without `exists` in `sweep`: they would be analysed, and fail."""
    bench.spool.store(b"x", receipt(bench.spool, "a"))
    bench.spool.purge_image(bench.spool.key_for("1.2.3"))

    assert sweep(bench.spool, bench.ledger) == 0


def test_purged_results_cannot_be_withdrawn_and_are_told(bench: Bench) -> None:
    """Red without `or found.purged` in `withdraw`: a note would be due that nobody can make."""
    delivered(bench)
    purge(bench.ledger, bench.spool, DAYS, LATER)

    ((key, told),) = chosen(bench.ledger, model="m").items()
    assert told.purged
    withdraw(bench.ledger, key, "wrong", LATER)
    assert work.due(bench.ledger, LATER, {}) == []


def test_the_command_shows_beforehand_what_goes(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delivered(bench)
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(tmp_path))
    assert "kept for ever" in CliRunner().invoke(app, ["purge"]).output
    monkeypatch.setenv("CXRNODE_RETENTION__KEEP_DAYS", "30")

    shown = json.loads(CliRunner().invoke(app, ["purge", "--dry-run", "--json"]).output)
    assert [(one["instances"], one["size"]) for one in shown["studies"]] == [(1, 1)]
    assert bench.places() == {"finished, delivered": 1}
    assert "Purged: 1." in CliRunner().invoke(app, ["purge"]).output
    assert bench.places() == {"purged after 30 days": 1}
