"""What is read at a scrape: the same as `cxrnode status` says, and what is away hides nothing else."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.core import GaugeMetricFamily

from cxrnode.audit.events import Here, log_used
from cxrnode.audit.recorder import folder_of
from cxrnode.audit.trail import Trail
from cxrnode.audit.who import process
from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger import arrivals, circuits, outcomes, quarantine, work
from cxrnode.ledger.account import account
from cxrnode.ledger.backlog import backlog
from cxrnode.ledger.circuits import OPENS_AFTER
from cxrnode.ledger.states import Work
from cxrnode.metrics.state import Look, State
from cxrnode.metrics.trust import of_audit, of_certificates
from cxrnode.settings import Receiving, Settings
from cxrnode.settings.collector import Audit
from cxrnode.settings.destination import Destination
from cxrnode.validity import ends
from tests.authority import Authority
from tests.builders import make_cxr
from tests.desks import HOUR, QUIET_S, owing, receive
from workers.desk import Desk

NOW = datetime.now(UTC)
HERE = Here("node-1", process("receiver", "CXRNODE"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = owing(tmp_path, 3, Destination(name="pacs", ae_title="P", host="127.0.0.1", port=1))
    yield opened
    opened.ledger.close()


def figures(desk: Desk) -> dict[tuple[str, ...], float]:
    """By name and values of the labels."""
    told = State(desk.settings).collect()
    return {(one.name, *one.labels.values()): one.value for family in told for one in family.samples}


def test_it_says_what_status_says(desk: Desk) -> None:
    receive(desk, make_cxr(), at=NOW)
    told = figures(desk)

    total = account(desk.ledger, desk.spool)
    places = {(line.place, line.outcome): line.instances for line in total.lines}
    assert {of[1:]: value for of, value in told.items() if of[0] == "cxrnode_account_instances"} == places
    assert told["cxrnode_account_balanced",] == 1
    assert told["cxrnode_studies", "arriving", "live"] == 1
    assert told["cxrnode_studies", "analysed", "live"] == 3
    assert told["cxrnode_studies", "ready", "stat"] == 0
    assert told["cxrnode_tasks", "deliver", "pacs"] == 3
    assert told["cxrnode_tasks", "analyse", ""] == 0
    assert 0 < told["cxrnode_oldest_study_age_seconds", "analysed", "live"] < 600
    assert told["cxrnode_disk_free_bytes",] > told["cxrnode_disk_reserve_bytes",] == 0


def test_audit_messages_that_wait_for_their_collector_are_counted(desk: Desk) -> None:
    audit = Audit(syslog="udp", host="127.0.0.1", port=1)
    settings = desk.settings.model_copy(update={"audit": audit})
    assert figures(desk)["cxrnode_audit_unsent_messages",] == 0
    Trail(folder_of(settings)).write([log_used(HERE, NOW, HERE.me, "trail")] * 3, NOW)

    waiting, away = of_audit(settings, NOW)

    assert [waiting.samples[0].value, away.samples[0].value] == [3, 0]


def test_each_certificate_that_is_shown_is_told_with_its_end(desk: Desk, tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ca").certificates("node.example")
    settings = Settings(receiving=Receiving(tls=ours), node=desk.settings.node)

    told = {one.labels["file"]: one.value for family in of_certificates(settings, NOW) for one in family.samples}

    files = (Path(ours.certificate_file), Path(ours.ca_file))
    assert told == {file.name: ends(file).timestamp() for file in files}
    assert min(told.values()) > NOW.timestamp()


def test_the_oldest_of_a_kind_is_the_one_that_counts(desk: Desk) -> None:
    for hours in (1, 5, 2):
        receive(desk, make_cxr(), at=NOW - timedelta(hours=hours))

    (heap,) = (one for one in backlog(desk.ledger).rounds if one.kind == ("arriving", "live"))
    assert (heap.count, heap.since) == (3, NOW - timedelta(hours=5))


def test_a_destination_that_is_away_is_told_with_for_how_long(desk: Desk) -> None:
    now = datetime.now(UTC)
    task = work.due(desk.ledger, now, {})[0].task_key
    assert figures(desk)["cxrnode_destination_away", "pacs"] == 0

    for _ in range(OPENS_AFTER):
        circuits.failed(desk.ledger, task, "no answer", now - timedelta(hours=1), lambda _n: now, probe=False)

    told = figures(desk)
    assert told["cxrnode_destination_away", "pacs"] == 1
    assert 3600 <= told["cxrnode_destination_away_seconds", "pacs"] < 3660


def test_an_analysis_in_quarantine_waits_until_it_is_begun_anew(desk: Desk) -> None:
    receive(desk, make_cxr())
    arrivals.close_settled(desk.ledger, QUIET_S, NOW + HOUR)
    (task,) = (one for one in work.due(desk.ledger, NOW + HOUR, {}) if one.work is Work.ANALYSE)
    (held,) = work.lease(desk.ledger, task.task_key, NOW + HOUR, 600)
    outcomes.abandon(desk.ledger, held, "in vain", NOW)
    assert figures(desk)["cxrnode_quarantined_analyses",] == 1

    (waiting,) = quarantine.waiting(desk.ledger)
    assert quarantine.reopen(desk.ledger, waiting, NOW)
    assert figures(desk)["cxrnode_quarantined_analyses",] == 0


def test_a_broker_and_a_ledger_that_are_away_hide_nothing_else(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when a look's fault is raised: Prometheus would see the node itself as gone."""
    state = State(desk.settings)

    def away(_ledger: object) -> None:
        raise LedgerUnavailable("the ledger does not answer: no such host")

    monkeypatch.setattr("cxrnode.metrics.state.backlog", away)
    told = {(one.name, *one.labels.values()): one.value for family in state.collect() for one in family.samples}

    assert told["cxrnode_answers", "ledger"] == 0
    assert told["cxrnode_answers", "broker"] == 0  # none runs
    assert told["cxrnode_answers", "spool"] == 1
    assert told["cxrnode_disk_size_bytes",] > 0
    assert ("cxrnode_account_balanced",) not in told


def test_what_is_slow_is_not_waited_for_nor_asked_twice_at_once() -> None:
    """Red without the patience: the scrape would hang as long as the ledger does."""
    begun, go_on = [], threading.Event()

    def slow(now: datetime) -> list[GaugeMetricFamily]:
        begun.append(now)
        go_on.wait()
        return []

    look = Look("ledger", slow)
    try:
        for _ in range(2):
            look.ask()
            assert look.figures(0.01) is None
        assert len(begun) == 1
    finally:
        go_on.set()
    assert look.figures(60) == []


def test_what_took_long_is_read_again_only_after_ten_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("cxrnode.metrics.state.time", SimpleNamespace(monotonic=lambda: clock[0]))
    begun = []

    def takes_a_second(now: datetime) -> list[GaugeMetricFamily]:
        begun.append(now)
        clock[0] += 1
        return []

    look, seen = Look("ledger", takes_a_second), []
    for now in (0.0, 10.9, 11.1):
        clock[0] = max(now, clock[0])
        look.ask()
        look.figures(60)
        seen.append(len(begun))

    assert seen == [1, 1, 2]


def test_what_failed_late_is_tried_again_after_no_longer_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when a failure waits as a figure does: a ledger that hung for half a minute was away for five, and paged."""
    clock, begun = [0.0], []
    monkeypatch.setattr("cxrnode.metrics.state.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def hangs_once(now: datetime) -> list[GaugeMetricFamily]:
        begun.append(now)
        if len(begun) == 1:
            clock[0] += 30
            raise LedgerUnavailable("no answer")
        return []

    look, seen = Look("ledger", hangs_once), []
    for now in (0.0, 45.0, 60.0):
        clock[0] = max(now, clock[0])
        look.ask()
        seen.append(look.figures(60))

    assert seen == [None, None, []]


def test_files_are_told_where_the_disk_counts_them_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when none left and nobody counts are one number: no alarm could tell a disk that takes no file any more."""
    counts = {"f_files": 0, "f_favail": 0}
    monkeypatch.setattr("cxrnode.metrics.state.os", SimpleNamespace(statvfs=lambda _: SimpleNamespace(**counts)))
    assert ("cxrnode_disk_free_files",) not in figures(desk)

    counts["f_files"] = 1000
    assert figures(desk)["cxrnode_disk_free_files",] == 0
