"""The running count is the full one, whatever is written by whomever; and the disk is counted without being listed."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as drawn
from hypothesis import strategies as st
from sqlalchemy import Connection, event, insert, select, text
from typer.testing import CliRunner

from cxrnode import spool
from cxrnode.cli import app
from cxrnode.commitment import Report
from cxrnode.ledger import Ledger, arrivals, commitments, outcomes, parcels, purged, quarantine, replayed, tallies, work
from cxrnode.ledger.account import account, recount
from cxrnode.ledger.purges import expired
from cxrnode.ledger.replaytables import replays
from cxrnode.ledger.states import Fate, Lane, State, Work
from cxrnode.ledger.tables import instances, objects, purges, rounds, studies
from cxrnode.ledger.tallytables import unsettled
from cxrnode.ledger.withdrawals import withdraw
from cxrnode.retention import purge
from cxrnode.serving.reception import Reception
from cxrnode.settings import Node, Settings
from cxrnode.spool import Spool
from tests.ledgers import LEASE_S, QUIET_S, T0, Bench
from tests.unit.test_spool import RECEIPT

DAYS = 30.0
STUDIES = 3
OWN = {"unsettled", "shares", "tallies", "keeps", "studies", "canaries"}
"""The tables of the count itself, the studies' names, which never change, and canaries, noted before their study is."""


class Life:
    """Some studies, to which anything may happen at any time."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.now, self.images = bench, T0, 0

    def take(self, verb: str, study: int, choice: int) -> None:
        """One step; nothing where there is nothing to be done."""
        self.now += timedelta(seconds=1)
        getattr(self, verb)(f"1.9{study}", choice)

    def arrive(self, study: str, _choice: int) -> None:
        self.images += 1
        self.bench.arrive(f"{study}.{self.images}", study, self.now)

    def arrive_aside(self, study: str, _choice: int) -> None:
        self.images += 1
        self.bench.arrive(f"{study}.{self.images}", study, self.now, aside_of=f"{self.images:032x}")

    def correct(self, study: str, _choice: int) -> None:
        self.bench.correct(f"{study}.1", self.now, study=study)

    def come_back(self, study: str, choice: int) -> None:
        with self.bench.ledger.reading() as db:
            uids = db.execute(select(objects.c.sop_instance_uid).order_by(objects.c.sop_instance_uid)).scalars().all()
        if uids:
            self.bench.arrive(uids[choice % len(uids)], study, self.now)

    def close(self, _study: str, _choice: int) -> None:
        self.now += timedelta(seconds=QUIET_S)
        arrivals.close_settled(self.bench.ledger, QUIET_S, self.now)

    def analyse(self, _study: str, choice: int) -> None:
        if held := self._lease(Work.ANALYSE, choice):
            if choice == 0:
                outcomes.abandon(self.bench.ledger, held, "stopped its worker", self.now)
            elif choice > 1:  # else it is left alone, and its lease runs out
                self.bench.finish(held, self.now, objects=2, sent_to=("pacs",) if choice > 2 else ())

    def deliver(self, _study: str, choice: int) -> None:
        if held := self._lease(Work.DELIVER, choice):
            fates = ([Fate.ACCEPTED] * 2, [Fate.ACCEPTED, Fate.REFUSED], [Fate.GIVEN_UP] * 2, [Fate.ACCEPTED])[
                choice % 4
            ]
            self.bench.answer(held, self.now, *fates)
            if choice % 4 == 3:
                work.put_back(self.bench.ledger, held, self.now, "")
            else:
                parcels.finish_delivery(self.bench.ledger, held, 1.0, self.now, commit=choice > 1)

    def commit(self, _study: str, choice: int) -> None:
        ledger = self.bench.ledger
        if held := self._lease(Work.COMMIT, choice):
            asked = commitments.ask(ledger, held)
            commitments.asked(ledger, asked.transaction_uid, self.now)
            uids = [uid for _, uid in asked.references]
            failed = dict.fromkeys(uids[: choice % 3], 0x0110)
            report = Report(asked.transaction_uid, tuple(uids[choice % 3 :]), failed)
            if choice:
                commitments.record(ledger, report, {"pacs"}, self.now)
            commitments.conclude(ledger, held, 100.0, self.now)
            commitments.finish(ledger, held, "", self.now, accepted_is_enough=choice == 0)

    def withdraw(self, _study: str, choice: int) -> None:
        keys = self._finished()
        if keys:
            withdraw(self.bench.ledger, keys[choice % len(keys)], "wrong", self.now)

    def reopen(self, _study: str, choice: int) -> None:
        for one in quarantine.waiting(self.bench.ledger)[: choice + 1]:
            quarantine.reopen(self.bench.ledger, one, self.now)

    def purge(self, _study: str, _choice: int) -> None:
        self.now += timedelta(days=DAYS + 1)
        purge(self.bench.ledger, self.bench.spool, DAYS, self.now)

    def come_again(self, _study: str, choice: int) -> None:
        with self.bench.ledger.writing() as db:
            for row in db.execute(select(instances).join(purges)).all():
                if choice % 2:
                    came = replace(RECEIPT, key=row.key, sha256="f" * 64, size=2, fetched="r")
                    purged.came_again(db, came)
                else:
                    uids = select(studies.c.study_instance_uid).where(studies.c.key == row.study_key)
                    purged.may_come_again(db, set(db.execute(uids).scalars()))

    def shadow(self, _study: str, choice: int) -> None:
        keys = self._finished()
        with self.bench.ledger.writing() as db:
            if db.execute(select(replays.c.key)).first() is None:
                db.execute(insert(replays).values(key="r", request="", head="", model="", send=0, again=0, made_at=T0))
            if keys and replayed.ordered(db, key := keys[choice % len(keys)]) is None:
                replayed.begin(db, key, replayed.Order("r", "", send=choice % 2 == 1))
            elif keys:
                replayed.to_live(db, keys[choice % len(keys)], Lane.LIVE)

    def settle(self, _study: str, choice: int) -> None:
        tallies.settle(self.bench.ledger, choice or tallies.BITE)

    def _finished(self) -> list[str]:
        """The rounds that are, the later ones of their studies first."""
        with self.bench.ledger.reading() as db:
            finished = select(rounds.c.key).where(rounds.c.state == State.FINISHED)
            return list(db.execute(finished.order_by(rounds.c.number.desc(), rounds.c.key)).scalars())

    def _lease(self, kind: Work, choice: int) -> work.Lease | None:
        ledger = self.bench.ledger
        keys = [one.task_key for one in work.due(ledger, self.now, {}) if one.work is kind]
        found = work.lease(ledger, keys[choice % len(keys)], self.now, LEASE_S) if keys else []
        return found[0] if found else None


VERBS = [name for name in vars(Life) if not name.startswith("_") and name != "take"]
STEP = st.tuples(st.sampled_from(VERBS), st.integers(0, STUDIES - 1), st.integers(0, 4))
DAY = [("arrive", 0, 0), ("close", 0, 0), ("analyse", 0, 4), ("deliver", 0, 0), ("settle", 0, 0)]
"""Without a day to begin with, few of the drawn lives would come to anything."""


@drawn(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=1, max_size=20))
@example(steps=[*DAY, ("shadow", 0, 0), ("settle", 0, 0), ("shadow", 0, 0)])
@example(steps=[("withdraw", 0, 0), ("deliver", 0, 0), ("settle", 0, 0), ("arrive", 0, 0)])
@example(steps=[("purge", 0, 0), ("settle", 0, 0), ("come_again", 0, 0), ("settle", 0, 0), ("come_back", 0, 0)])
def test_the_running_count_is_the_full_one_after_every_step(
    lasting: Bench, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    """Red without most of the triggers, and when `_finished` takes all that are unsettled."""
    lasting.anew(tmp_path_factory.mktemp("spool"))
    life = Life(lasting)
    for step in (*DAY, *steps, ("settle", 0, 0)):
        life.take(*step)
        told = account(life.bench.ledger, life.bench.spool)
        full = recount(life.bench.ledger, life.bench.spool)
        assert (told, told.balanced, full.agreed) == (full.total, True, True), step


def settled(bench: Bench, study: str = "1.9", fate: Fate = Fate.ACCEPTED) -> None:
    """A study of one image, delivered and settled."""
    now = bench.ready(f"{study}.1", study=study)
    (held,) = bench.lease(now)
    bench.finish(held, now)
    bench.deliver(now, "pacs", fate)
    assert tallies.settle(bench.ledger) == 1


def left(bench: Bench) -> int:
    with bench.ledger.reading() as db:
        return len(db.execute(select(unsettled)).all())


def test_settled_studies_are_not_counted_again(bench: Bench) -> None:
    """Red when `running` counts them all: the sums would be twice what was received."""
    settled(bench, "1.8")
    settled(bench, "1.9")

    assert left(bench) == 0
    assert bench.places() == {"finished, delivered": 2}


def test_a_study_is_settled_when_its_rounds_are_finished_and_not_before(bench: Bench) -> None:
    bench.analysed("pacs")
    assert (tallies.settle(bench.ledger), left(bench)) == (0, 1)


def test_studies_are_settled_a_bite_at_a_time(bench: Bench) -> None:
    for number in range(3):
        now = bench.ready(f"1.9{number}.1", study=f"1.9{number}")
        (held,) = bench.lease(now)
        bench.finish(held, now, sent_to=())

    assert [tallies.settle(bench.ledger, 2) for _ in range(3)] == [2, 1, 0]


def test_a_study_that_goes_on_between_the_look_and_the_settling_is_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when `settle` does not compare versions: the new image would be left out."""
    now = bench.ready("1.9.1")
    (held,) = bench.lease(now)
    bench.finish(held, now, sent_to=())
    writing = Ledger.writing

    @contextmanager
    def late(ledger: Ledger) -> Iterator[Connection]:
        monkeypatch.setattr(Ledger, "writing", writing)
        bench.arrive("1.9.2")
        with writing(ledger) as db:
            yield db

    monkeypatch.setattr(Ledger, "writing", late)
    tallies.settle(bench.ledger)
    assert left(bench) == 1


def test_whoever_writes_unsettles_in_the_same_transaction_or_not_at_all(bench: Bench) -> None:
    """An older program, which knows nothing of this, may write beside a newer one. Red without the triggers."""
    settled(bench)

    def fail() -> None:
        with bench.ledger.writing() as db:
            db.execute(text("UPDATE deliveries SET fate = 'refused'"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert left(bench) == 0
    with bench.ledger.writing() as db:
        db.execute(text("UPDATE deliveries SET fate = 'refused'"))
    assert left(bench) == 1
    assert bench.places() == {"finished, not all delivered": 1}


def test_every_table_that_the_count_reads_has_its_triggers(bench: Bench) -> None:
    """A table that is read one day and not watched would make the running count wrong: it needs a revision."""
    settled(bench)
    read: set[str] = set()
    with bench.ledger.reading() as db:
        event.listen(
            db, "before_cursor_execute", lambda *told: read.update(re.findall(r"(?:FROM|JOIN) (\w+)", told[2]))
        )
        tallies.recounted(db)
        name = db.dialect.name
        known = {
            "sqlite": "SELECT tbl_name, sql FROM sqlite_master WHERE type = 'trigger'",
            "postgresql": "SELECT event_object_table, 'AFTER ' || event_manipulation "
            "FROM information_schema.triggers WHERE trigger_schema = current_schema()",
        }
        watched: dict[str, set[str]] = {}
        for table, told in db.execute(text(known[name])):
            watched.setdefault(table, set()).update(re.findall(r"AFTER (\w+)", told))

    read &= set(rounds.metadata.tables)
    assert {"instances", "deliveries", "tasks", "replayed"} <= read
    assert {table: watched.get(table) for table in read - OWN} == {
        table: {"INSERT", "UPDATE", "DELETE"} for table in read - OWN
    }


@pytest.mark.parametrize(
    "meddled",
    [
        "UPDATE shares SET place = 'nowhere'",
        "UPDATE tallies SET instances = 7",
        "DELETE FROM shares",
        "DELETE FROM keeps",
        "UPDATE keeps SET since = '2020-01-01 00:00:00'",
    ],
)
def test_a_disagreement_is_told_and_mended(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meddled: str
) -> None:
    settled(bench)
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(tmp_path))
    monkeypatch.setenv("CXRNODE_LEDGER__URL", bench.url)
    with bench.ledger.writing() as db:
        db.execute(text(meddled))

    told = [CliRunner().invoke(app, ["status", "--recount"]) for _ in range(2)]

    assert [one.exit_code for one in told] == [1, 0]
    assert "did not agree, and is mended" in told[0].output
    assert "The running count agrees." in told[1].output
    assert '"agreed": true' in CliRunner().invoke(app, ["status", "--recount", "--json"]).output
    assert '"agreed"' not in CliRunner().invoke(app, ["status", "--json"]).output
    assert bench.places() == {"finished, delivered": 1}


def test_the_reconciler_settles(bench: Bench, tmp_path: Path) -> None:
    """Red without the call of `settle` in `Reception.turn`."""
    now = bench.analysed("pacs")
    bench.deliver(now, "pacs", *[Fate.ACCEPTED] * 2)
    settings = Settings(node=Node(state_dir=tmp_path))

    Reception(settings).turn(now)

    assert left(bench) == 0


def test_what_may_be_purged_is_known_of_settled_studies_without_looking_at_the_others(bench: Bench) -> None:
    """Red when `_settle` keeps those to which something is owed: they would stand before the others for ever."""
    later = T0 + timedelta(days=DAYS + 1)
    settled(bench, "1.7", Fate.REFUSED)
    settled(bench, "1.8")

    (found,) = expired(bench.ledger, DAYS, later, 1)
    assert found.instances == 1
    assert expired(bench.ledger, DAYS, T0 + timedelta(days=DAYS)) == []


FOLDERS = [Path(tempfile.gettempdir()), *filter(Path.is_dir, [Path("/dev/shm"), Path.cwd()])]  # noqa: S108  a tmpfs


@pytest.mark.parametrize("root", FOLDERS, ids=str)
def test_the_disk_is_counted_as_it_is_listed(root: Path) -> None:
    """On whatever file systems there are here. Red when `count` forgets that a folder counts itself."""
    with tempfile.TemporaryDirectory(dir=root) as folder:
        there = Spool(Path(folder))
        for number in range(600):
            assert number % 200 or there.count() == len(set(there.keys())) == number
            there.image(there.key_for(f"1.{number}")).parent.mkdir(parents=True)
        assert there.count() == 600


@pytest.mark.parametrize("links", [0, 1, 2, 7])
def test_a_file_system_that_does_not_count_is_listed(bench: Bench, monkeypatch: pytest.MonkeyPatch, links: int) -> None:
    """btrfs says 1 of every folder, some network file systems 2. Red without `counts` in `count`."""
    for number in range(9):
        bench.arrive(f"1.{number}")
    monkeypatch.setattr("cxrnode.spool._subfolders", lambda _folder: links - 2)

    assert bench.spool.count() == 9


def test_a_folder_with_more_subfolders_than_its_file_system_counts_is_listed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ext4 says 1 of a folder of 65,000. Red without `>= 0` in `count`."""
    for number in range(9):
        bench.arrive(f"1.{number}")
    really = spool._subfolders
    monkeypatch.setattr(spool, "_subfolders", lambda folder: really(folder) if folder.name == "instances" else -1)

    assert bench.spool.count() == 9
