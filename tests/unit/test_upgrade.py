"""A ledger of an earlier version is brought up to date with its studies in flight, once; a later one is not spoiled."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger import Ledger, arrivals, commitments, parcels, upgrade, work
from cxrnode.ledger.columns import Utc
from cxrnode.ledger.engines import open_engine
from cxrnode.ledger.states import Fate, Work
from cxrnode.ledger.tables import metadata
from cxrnode.receipt import Receipt
from tests.databases import KINDS, ledger_url
from tests.house.rooms import ROOT
from tests.ledgers import LEASE_S, QUIET_S, T0, Bench

KEPT = ROOT / "tests" / "ledgers_kept" / "baseline.json"
"""Rows of a ledger at the baseline: a study arriving, one at work, one delivered in part, one being committed."""
BASELINE = import_module("cxrnode.ledger.migrations.versions.r1_0001_baseline").metadata
LATER = T0 + timedelta(hours=1)


@pytest.fixture(params=KINDS)
def old(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A node whose ledger was written before there were revisions, not opened by this program yet."""
    bench = Bench(tmp_path, request.param)
    engine = open_engine(bench.url)
    kept = json.loads(KEPT.read_text())
    BASELINE.create_all(engine)
    with engine.begin() as db:
        for table in BASELINE.sorted_tables:
            for row in kept.get(table.name, ()):
                times = {column.name for column in table.columns if isinstance(column.type, Utc)}
                values = {n: datetime.fromisoformat(v) if v and n in times else v for n, v in row.items()}
                db.execute(table.insert().values(values))
    engine.dispose()
    came = ("1.2", "0" * 64, 1, "A", "B", "::1", "1", T0.isoformat())
    for row in kept["instances"]:
        study = row["sop_instance_uid"].rpartition(".")[0]
        bench.spool.store(b"x", Receipt(row["key"], row["sop_instance_uid"], "1.2", study, *came))
    yield bench
    bench.ledger.close()


def at(ledger: Ledger) -> str:
    with ledger.reading() as db:
        return str(db.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def differences(db: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(db, opts={"compare_type": True}), metadata))


def test_studies_in_flight_before_an_upgrade_are_finished_after_it(old: Bench) -> None:
    """Red when `_lacks` takes a ledger without a revision for one that is up to date."""
    assert old.places() == {
        "being analysed": 1,
        "waiting for commitment": 1,
        "waiting for delivery": 1,
        "waiting for the study to be complete": 1,
    }
    assert at(old.ledger) == upgrade.REVISIONS[-1]
    with old.ledger.reading() as db:
        assert set(metadata.tables) <= set(inspect(db).get_table_names())

    now = LATER
    assert arrivals.close_settled(old.ledger, QUIET_S, now) == 1
    while due := work.due(old.ledger, now, {}):
        now += timedelta(seconds=1)
        (held,) = work.lease(old.ledger, due[0].task_key, now, LEASE_S)
        if due[0].work is Work.ANALYSE:
            old.finish(held, now, objects=2)
        elif due[0].work is Work.DELIVER:
            old.answer(held, now, Fate.ACCEPTED, Fate.ACCEPTED)
            parcels.finish_delivery(old.ledger, held, 1.0, now)
        else:
            commitments.finish(old.ledger, held, "", now, accepted_is_enough=True)

    assert old.places() == {"finished, delivered": 4}


@pytest.mark.parametrize("table", ["changes", "withdrawals"])
def test_a_ledger_of_before_there_was_this_table_is_completed(old: Bench, table: str) -> None:
    """Red when the baseline creates nothing where there are tables."""
    engine = open_engine(old.url)
    with engine.begin() as db:
        BASELINE.tables[table].drop(db)
    engine.dispose()

    assert old.places()["waiting for delivery"] == 1
    with old.ledger.reading() as db:
        assert differences(db) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_revisions_lead_to_the_tables(tmp_path: Path, kind: str) -> None:
    """Red without any of the revisions: a table, a column or an index would be missing."""
    ledger = Ledger(ledger_url(tmp_path, kind))
    with ledger.reading() as db:
        assert differences(db) == []
    ledger.close()


def test_a_difference_between_revisions_and_tables_is_found(old: Bench) -> None:
    with old.ledger.writing() as db:
        db.execute(text("DROP INDEX ix_tasks_state"))
        assert len(differences(db)) == 1


def test_the_revisions_are_one_line_and_named_as_their_files() -> None:
    script = ScriptDirectory(str(upgrade.FOLDER))

    assert [one.revision for one in reversed(list(script.walk_revisions()))] == upgrade.REVISIONS
    assert script.get_heads() == upgrade.REVISIONS[-1:]


def test_processes_that_open_an_old_ledger_at_once_bring_it_up_to_date_once(old: Bench) -> None:
    """Red ("already exists") when `bring_up_to_date` does not look again under the lock, or takes none."""
    code = "import sys; from cxrnode.ledger import Ledger, arrivals; print(len(arrivals.known(Ledger(sys.argv[1]))))"
    command = [sys.executable, "-c", code, old.url]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    opening = [subprocess.Popen(command, cwd=ROOT, text=True, **pipes) for _ in range(4)]
    told = [process.communicate(timeout=60) for process in opening]

    assert [stdout.splitlines()[-1:] for stdout, _ in told] == [["4"]] * 4, told
    assert sum("ledger upgraded" in stdout for stdout, _ in told) == 1


def test_a_ledger_of_a_later_generation_is_refused_with_both_names_and_left_alone(old: Bench) -> None:
    """Red without the comparison of generations in `_lacks`."""
    moved(old, "r2_0001_other")

    with pytest.raises(
        LedgerUnavailable, match=f"at revision r2_0001_other, newer .* knows {upgrade.REVISIONS[-1]}; wanted"
    ):
        arrivals.known(old.ledger)


def test_a_ledger_to_which_a_later_version_only_added_is_opened(old: Bench) -> None:
    """An old worker's child may start again while a node is restarted process by process; so may an old version."""
    moved(old, "r1_9999_later")

    assert len(arrivals.known(old.ledger)) == 4
    assert at(old.ledger) == "r1_9999_later"


def moved(bench: Bench, revision: str) -> None:
    """The ledger as a later program left it."""
    with bench.ledger.writing() as db:
        db.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
    bench.ledger.close()
