"""SQLite and PostgreSQL are one ledger: one writer at a time, steady readers, a server that may go and come back."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger import Ledger, arrivals, work
from cxrnode.ledger.database import new_key
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.tables import rounds, studies
from cxrnode.ledger.timeline import timeline
from tests import postgres
from tests.databases import KINDS, POSTGRESQL, ledger_url
from tests.house.rooms import ROOT
from tests.ledgers import LEASE_S, QUIET_S, T0, Bench
from tests.writer import IMAGES

STUDIES = 25


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An empty ledger on PostgreSQL."""
    return ledger_url(tmp_path, POSTGRESQL)


@pytest.mark.parametrize("kind", KINDS)
def test_processes_that_note_close_and_lease_the_same_at_once_do_it_once(tmp_path: Path, kind: str) -> None:
    """Red (IntegrityError, or a task leased twice) without `writing=` in `_postgresql`, or with BEGIN in `_sqlite`."""
    go = tmp_path / "go"
    command = [sys.executable, "-m", "tests.writer", ledger_url(tmp_path, kind), str(go), str(STUDIES)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    writers = [subprocess.Popen(command, cwd=ROOT, text=True, **pipes) for _ in range(3)]
    go.touch()
    ended = [writer.communicate(timeout=120) for writer in writers]

    assert [writer.returncode for writer in writers] == [0, 0, 0], [stderr for _, stderr in ended]
    told = [json.loads(stdout.splitlines()[-1]) for stdout, _ in ended]
    assert sum(one["new"] for one in told) == STUDIES * IMAGES
    assert sum(one["closed"] for one in told) == STUDIES
    leased = [key for one in told for key in one["leased"]]
    assert len(leased) == len(set(leased)) == STUDIES


def test_a_reader_sees_one_state_throughout_and_a_writer_does_not_wait_for_it(bench: Bench) -> None:
    """Red on PostgreSQL without `reading=`: its default shows each statement what was committed before it."""
    bench.arrive("1.1")
    with bench.ledger.reading() as db:
        before = db.execute(select(rounds)).all()
        bench.arrive("1.2", study="1.8")
        assert db.execute(select(rounds)).all() == before
    assert len(round_lines(bench.ledger)) == 2


def test_a_writer_that_waits_too_long_for_another_finds_the_ledger_away(url: str) -> None:
    """With a shorter patience than ours; that ours is set is held by `test_every_session_waits...`."""
    first, second = Ledger(url), Ledger(f"{url}&options=-c lock_timeout=200ms")
    arrivals.known(second)
    with first.writing(), pytest.raises(LedgerUnavailable, match="lock timeout"):
        arrivals.note(second, [])
    arrivals.note(second, [])


def test_a_writer_that_hangs_in_a_transaction_loses_it_and_the_others_go_on(url: str) -> None:
    """A process that is stopped there would stop every other; with a shorter patience than ours, as above."""
    hanging, other = Ledger(f"{url}&options=-c idle_in_transaction_session_timeout=200ms"), Ledger(url)
    arrivals.known(other)

    def hang() -> None:
        with hanging.writing() as db:
            arrivals.note(other, [])
            db.execute(text("SELECT 1"))

    with pytest.raises(LedgerUnavailable):
        hang()
    arrivals.note(hanging, [])


def test_every_session_waits_neither_for_ever_nor_in_secret(url: str) -> None:
    with Ledger(url).reading() as db:
        shown = {name: db.execute(text(f"SHOW {name}")).scalar() for name in ("lock_timeout", "statement_timeout")}
        assert shown == {"lock_timeout": "30s", "statement_timeout": "1min"}
        assert db.execute(text("SHOW idle_in_transaction_session_timeout")).scalar() == "30s"
        assert db.execute(text("SHOW application_name")).scalar() == "cxrnode"


def test_a_writer_sees_what_was_committed_before_it_had_the_lock_whatever_the_role_prefers(url: str) -> None:
    """Red without READ COMMITTED in `_postgresql`: the view would be of before the wait."""
    url = f"{url}&options=-c default_transaction_isolation=serializable"
    with Ledger(url).writing() as db:
        assert db.execute(text("SHOW transaction_isolation")).scalar() == "read committed"


def test_a_server_that_crashes_and_comes_back_is_used_again(tmp_path: Path) -> None:
    """Red without `pool_pre_ping`: the first use afterwards would fail."""
    bench = Bench(tmp_path, POSTGRESQL)
    bench.arrive("1.1")

    def crash() -> None:
        with bench.ledger.writing() as db:
            db.execute(update(rounds).values(lane="lost"))
            postgres.server().stop()
            db.execute(update(rounds).values(lane="lost"))

    try:
        with pytest.raises(LedgerUnavailable):
            crash()
        with pytest.raises(LedgerUnavailable, match="the ledger does not answer: connection"):
            arrivals.known(bench.ledger)
    finally:
        postgres.server().start()
    bench.arrive("1.2")
    arrivals.known(bench.ledger)
    postgres.server().stop()
    postgres.server().start()

    assert arrivals.close_settled(bench.ledger, QUIET_S, T0 + timedelta(seconds=QUIET_S)) == 1
    assert len(work.due(bench.ledger, T0 + timedelta(seconds=LEASE_S), {})) == 1
    with bench.ledger.reading() as db:
        assert db.execute(select(rounds.c.lane)).scalars().all() == ["live"]


def test_a_server_that_takes_no_writing_is_a_ledger_that_is_away(url: str) -> None:
    """Red when `TROUBLE` is OperationalError alone: a standby that a failover left us with would end the receiver."""
    arrivals.known(Ledger(url))
    standby = Ledger(f"{url}&options=-c default_transaction_read_only=on")

    with pytest.raises(LedgerUnavailable, match="read-only transaction"), standby.writing() as db:
        db.execute(studies.insert().values(key=new_key(), study_instance_uid="1.9"))


def test_a_password_is_in_no_message(url: str) -> None:
    """Red without `replace` in `_away`: libpq names the host, and a password can stand there by mistake."""
    for wrong in ("postgresql://u:zz-secret@zz-secret.invalid/d", url.replace("@/test", ":zz-secret@/best")):
        with pytest.raises(LedgerUnavailable, match="does not answer: ") as raised:
            arrivals.known(Ledger(wrong))
        assert "zz-secret" not in str(raised.value)


def test_what_a_sender_or_an_archive_writes_never_stops_the_ledger(bench: Bench) -> None:
    """Red on PostgreSQL without `load_dialect_impl` (too long) or `process_bind_param` (NUL) in columns.py."""
    bench.arrive("1.1", study="1." + "9" * 80)
    bench.arrive("1.2", study="1.2\0")
    with bench.ledger.writing() as db:
        db.execute(update(rounds).values(lane="l" * 40, model="m\0" * 100))

    assert len(round_lines(bench.ledger)) == 2
    assert {line.model for line in round_lines(bench.ledger)} == {"m\N{REPLACEMENT CHARACTER}" * 100}
    assert timeline(bench.ledger, "1." + "9" * 80).events[0].what == "received"


def test_a_statement_that_is_wrong_is_no_ledger_that_is_away_and_tells_no_values(bench: Bench) -> None:
    """Red without `hide_parameters`: the error would say whose study it is."""

    def twice() -> None:
        with bench.ledger.writing() as db:
            for _ in range(2):
                db.execute(studies.insert().values(key=new_key(), study_instance_uid="1.2.826.77"))

    with pytest.raises(Exception, match=r"UNIQUE|unique") as raised:
        twice()
    assert type(raised.value).__name__ == "IntegrityError"
    assert "parameters hidden" in str(raised.value)


@pytest.mark.parametrize("given", ["mysql://u:zz-secret@h/d", "zz-secret", "postgresql://u:zz@zz-secret@h/d"])
def test_a_url_that_is_not_understood_is_told_without_it(given: str) -> None:
    """Red without the first lines of `open_engine`: half of a password with a @ would be taken for the host."""
    with pytest.raises(LedgerUnavailable, match="wanted sqlite:///FILE or postgresql://") as raised:
        arrivals.known(Ledger(given))
    assert "zz-secret" not in str(raised.value)


def test_postgresql_without_its_driver_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(LedgerUnavailable, match=r"psycopg is not installed; wanted `psycopg\[binary\]`"):
        arrivals.known(Ledger("postgresql://u@h/d"))
