"""Bytes go when their time is over and nothing is owed, never before; a crash loses nothing, and counts sum."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as drawn
from hypothesis import strategies as st
from sqlalchemy import select, update
from typer.testing import CliRunner

from cxrnode.cli import app
from cxrnode.complete import sweep
from cxrnode.ledger import arrivals, outcomes, parcels, planned, replays, tallies, work
from cxrnode.ledger.account import account
from cxrnode.ledger.holdings import study_kept
from cxrnode.ledger.parcels import ObjectRow
from cxrnode.ledger.planned import Hold, Known
from cxrnode.ledger.purged import may_come_again
from cxrnode.ledger.purges import begin, expired, purged
from cxrnode.ledger.replays import Request
from cxrnode.ledger.states import Fate, State, Work
from cxrnode.ledger.tables import deliveries, instances, objects, rounds, studies, tasks, withdrawals
from cxrnode.ledger.timeline import timeline
from cxrnode.ledger.withdrawals import chosen, withdraw
from cxrnode.ledger.work import Lease
from cxrnode.plans.plan import Entry, Head, Origin
from cxrnode.receipt import Receipt
from cxrnode.receiving.intake import keep
from cxrnode.retention import BITE, purge
from cxrnode.serving.reception import Reception
from cxrnode.settings import Node, Retention, Settings
from cxrnode.spool import Spool
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


@drawn(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives=st.lists(st.lists(ROUND, min_size=1, max_size=2), min_size=1, max_size=4), young=st.booleans())
def test_what_is_still_owed_is_never_removed_and_all_else_is(
    lasting: Bench,
    tmp_path_factory: pytest.TempPathFactory,
    lives: list[list[tuple[str, tuple[Fate, Fate]]]],
    *,
    young: bool,
) -> None:
    """Red when the selects of open rounds and tasks, of `given_up` or of SETTLED are left out of `owed`."""
    bench = lasting
    bench.anew(tmp_path_factory.mktemp("spool"))
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


def fetched(spool: Spool, sha256: str) -> Receipt:
    return replace(receipt(spool, sha256), fetched="r")


def test_a_purged_image_that_comes_again_live_is_a_duplicate_and_other_content_is_kept_aside(tmp_path: Path) -> None:
    """Red when `purge_image` removes the receipt too, without `fetched` in `keep` or `except` in `_changed`."""
    spool = Spool(tmp_path)
    first = keep(spool, b"first", receipt(spool, "a"))
    spool.purge_image(first.key)

    aside = keep(spool, b"other", receipt(spool, "b"))
    assert (aside.aside_of, aside.corrected) == (first.key, "")
    assert spool.image(aside.key).read_bytes() == b"other"
    assert keep(spool, b"first", receipt(spool, "a")) == first
    assert not spool.image(first.key).exists()


@pytest.mark.parametrize(("content", "sha256"), [(b"first", "a"), (b"other", "b")])
def test_a_purged_image_that_a_replay_fetches_is_there_again_as_it_was_fetched(
    tmp_path: Path, content: bytes, sha256: str
) -> None:
    """Red without `restore`, and when it does not write the receipt."""
    spool = Spool(tmp_path)
    first = keep(spool, b"first", receipt(spool, "a"))
    spool.purge_image(first.key)

    for _ in range(2):  # the second time it is a duplicate, and told as well: the ledger may not have heard the first
        again = keep(spool, content, fetched(spool, sha256))
        assert (again.key, again.sha256, again.fetched) == (first.key, sha256 * 64, "r")
        assert spool.image(first.key).read_bytes() == content
        assert spool.receipt(first.key).sha256 == sha256 * 64
    assert keep(spool, content, receipt(spool, sha256)).fetched == ""


def test_a_purged_image_that_is_fetched_as_one_of_another_study_is_kept_aside(tmp_path: Path) -> None:
    """Red without `_of_one_study`: the ledger would go on to take it for the first study's."""
    spool = Spool(tmp_path)
    first = keep(spool, b"first", receipt(spool, "a"))
    spool.purge_image(first.key)

    assert keep(spool, b"other", replace(fetched(spool, "b"), study_instance_uid="1.7")).aside_of == first.key
    assert not spool.image(first.key).exists()


@pytest.mark.parametrize("killed_at", ["Draft.seal", "at_once"], ids=["the bytes written", "and their receipt"])
def test_of_bytes_that_were_being_restored_at_a_crash_nothing_is_left(tmp_path: Path, killed_at: str) -> None:
    """Red when they are written beside the receipt: nobody would ever look for a draft there."""
    spool = Spool(tmp_path)
    first = keep(spool, b"first", receipt(spool, "a"))
    spool.purge_image(first.key)

    with (
        patch(f"cxrnode.draft.{killed_at}", side_effect=KeyboardInterrupt),
        patch("cxrnode.spool.shutil.rmtree"),
        pytest.raises(KeyboardInterrupt),
    ):
        keep(spool, b"other", fetched(spool, "b"))
    assert b"other" in {path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    spool.clear_incoming()
    assert b"other" not in {path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert spool.receipt(first.key) == first


def purged_one(bench: Bench) -> str:
    """A study of one image, delivered and purged; the image's key."""
    key = keep(bench.spool, b"first", receipt(bench.spool, "a")).key
    arrivals.note(bench.ledger, [bench.spool.receipt(key)])
    with bench.ledger.writing() as db:
        db.execute(update(rounds).values(state=State.FINISHED, finished_at=T0, closed_at=T0))
        db.execute(update(instances).values(first_round=1))
    assert purge(bench.ledger, bench.spool, DAYS, LATER) == 1
    assert bench.places() == {"purged after 30 days": 1}
    return key


def test_what_was_fetched_again_is_read_again_and_purged_a_second_time(bench: Bench) -> None:
    """Red without `came_again` in `enter`, without GONE in any of its places, and without `delete` in `begin`."""
    key = purged_one(bench)
    study = RECEIPT.study_instance_uid
    assert planned.came(bench.ledger, study) == 0
    assert study_kept(bench.ledger, study).verdict is not None
    arrivals.note(bench.ledger, [keep(bench.spool, b"other", fetched(bench.spool, "b"))])

    assert planned.came(bench.ledger, study) == 1
    assert (study_kept(bench.ledger, study).instances, study_kept(bench.ledger, study).size) == (1, RECEIPT.size)
    assert bench.places() == {"finished, nothing to send": 1}
    with bench.ledger.reading() as db:
        assert db.execute(select(instances.c.sha256)).scalar_one() == "b" * 64
        assert len(db.execute(select(rounds.c.key).where(purged())).all()) == 1, "its results are gone all the same"
    assert [event.what for event in timeline(bench.ledger, study).events].count("fetched again") == 1

    assert purge(bench.ledger, bench.spool, 40.0, LATER + timedelta(days=40)) == 1
    assert bench.places() == {"purged after 40 days": 1}
    assert not bench.spool.image(key).exists()


@pytest.mark.parametrize("noted", [False, True])
def test_a_live_copy_of_what_was_purged_changes_nothing(bench: Bench, noted: bool) -> None:  # noqa: FBT001  a parameter
    """Red when `came_again` does not ask who fetched it: nothing is on the disk."""
    purged_one(bench)
    with bench.ledger.writing() as db:
        if noted:
            may_come_again(db, [RECEIPT.study_instance_uid])
    arrivals.note(bench.ledger, [keep(bench.spool, b"first", receipt(bench.spool, "a"))])

    assert bench.places() == {"purged after 30 days": 1}


def hold(bench: Bench, until: datetime) -> None:
    """A replay that fetches the one study, held until then."""
    request, head = Request("d", "", send=False, again=False), Head(origin=Origin.FILES, made_at=T0)
    replay = replays.begin(bench.ledger, request, head, T0)
    planned.load(bench.ledger, replay.key, 1, [Entry(study=RECEIPT.study_instance_uid)], T0)
    assert planned.claim(bench.ledger, replay.key, 1, T0, Hold(until), Known((), sent=False)).studies


def test_what_a_replay_restored_and_told_nobody_of_goes_a_day_after_it_was_cut_off(bench: Bench) -> None:
    """Red without `may_come_again` in a claim: it would lie there for ever; and without `_fetched` in `remove`."""
    key = purged_one(bench)
    hold(bench, LATER)
    keep(bench.spool, b"first", fetched(bench.spool, "a"))  # killed here

    assert purge(bench.ledger, bench.spool, DAYS, LATER + timedelta(hours=23)) == 0
    assert bench.spool.image(key).exists()
    assert purge(bench.ledger, bench.spool, DAYS, LATER + timedelta(hours=25)) == 1
    assert not bench.spool.image(key).exists()
    assert bench.places() == {"purged after 30 days": 1}


def test_studies_that_replays_hold_are_not_purged_and_do_not_keep_others_from_it(bench: Bench) -> None:
    """Red without `_fetched` in `expired`, and in `begin`."""
    purged_one(bench)
    hold(bench, LATER + timedelta(minutes=1))
    arrivals.note(bench.ledger, [keep(bench.spool, b"first", fetched(bench.spool, "a"))])
    delivered(bench, "1.8", T0 + timedelta(hours=1))
    tallies.settle(bench.ledger)
    with bench.ledger.reading() as db:
        held = db.execute(select(studies.c.key).where(studies.c.study_instance_uid != "1.8")).scalar_one()

    assert [one.study == held for one in expired(bench.ledger, DAYS, LATER, 1)] == [False]
    assert not begin(bench.ledger, held, DAYS, LATER)
    assert bench.places() == {"finished, nothing to send": 1, "finished, delivered": 1}
    assert begin(bench.ledger, held, DAYS, LATER + timedelta(days=2))


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
