"""What happens around a study's day: broker, ledger and archive away, slow or restarted, many hands on one ledger."""

import os
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from cxrnode.commands.samples import free_ports
from cxrnode.faultpoints import Fault, Point
from cxrnode.ledger import Ledger
from cxrnode.settings.destination import Destination
from tests.flow.days import Day, long_day
from tests.peers import program

EVERYTHING = "I1, I2, I3, I4, I5"
AWAY_S = float(os.environ.get("MATRIX_AWAY_S", "12"))
"""So long the broker is away in the short form; a minute in the full one."""


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    with long_day(tmp_path_factory.mktemp("faults")) as day:
        yield day


@pytest.fixture
def row(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """Says what a test does, for the table."""
    return lambda arrow, fault: record_property("matrix", (arrow, fault, EVERYTHING))


def test_a_broker_that_forgets_everything(day: Day, row: Callable[[str, str], None]) -> None:
    """The task in hand is lost with its worker, and the broker forgets that it ever was."""
    row("analysis", "kill -9 of the worker, and FLUSHALL")
    struck = day.plant(Point.LEASED, Fault.KILL_ALL)
    day.push()
    day.wait(struck)
    day.node.redis_cli("FLUSHALL")
    day.finish()


def test_a_broker_that_is_killed_and_started_again(day: Day, row: Callable[[str, str], None]) -> None:
    row("queue", "kill -9 of the broker")
    (broker,) = day.pids("broker.sock")
    os.kill(broker, signal.SIGKILL)
    day.push()
    day.finish()


def test_a_broker_that_does_not_answer(day: Day, row: Callable[[str, str], None]) -> None:
    row("queue", f"broker silent for {AWAY_S:g} s")
    (broker,) = day.pids("broker.sock")
    os.kill(broker, signal.SIGSTOP)
    day.push()
    time.sleep(AWAY_S)
    os.kill(broker, signal.SIGCONT)
    day.finish()


def test_a_ledger_that_is_locked_refuses_no_image_and_a_receiver_killed_meanwhile_loses_none(
    day: Day, row: Callable[[str, str], None]
) -> None:
    """What was acknowledged is known to the disk alone, and to no process, when the lock is let go.

    I1, seen red: reception.py, `self._behind = True` -> False: the ledger never learns of the image.
    """
    row("before the receipt is ingested", "ledger locked, kill -9 of the receiver")
    ledger = Ledger(day.node.settings.ledger_url)
    with ledger.writing():
        day.push()
        os.kill(min(day.pids("cli", "receive")), signal.SIGKILL)  # its child ends with it
    ledger.close()
    day.finish()


def test_a_ledger_that_is_locked_for_longer_than_anybody_waits(day: Day, row: Callable[[str, str], None]) -> None:
    row("everything", "ledger locked for 35 s")
    logged = day.node.log.stat().st_size
    ledger = Ledger(day.node.settings.ledger_url)
    with ledger.writing() as db:
        day.push()
        for _ in range(7):
            time.sleep(5)
            db.execute(select(1))  # PostgreSQL cuts off a writer that is idle for as long as others wait
    ledger.close()
    assert b"ledger away" in day.node.log.read_bytes()[logged:]
    day.finish()


def test_a_ledger_that_is_locked_while_a_result_is_sent(day: Day, row: Callable[[str, str], None]) -> None:
    """The archive has answered and nobody can write it down: that one is sent again."""
    row("archive answered, before the ledger", "ledger locked for 12 s")
    struck = day.plant(Point.AFTER_STORE, Fault.STOP_ALL)
    day.again += 1
    day.push()
    day.wait(struck)
    (halted, *_) = [pid for pid in day.pids("--role", "deliver") if state_of(pid) == "T"]
    ledger = Ledger(day.node.settings.ledger_url)
    with ledger.writing():
        os.killpg(os.getpgid(halted), signal.SIGCONT)
        time.sleep(12)  # its time limit and its lease are over by then
    ledger.close()
    day.finish()


def test_an_archive_that_is_away(day: Day, row: Callable[[str, str], None]) -> None:
    row("C-STORE", "archive away")
    day.archive.end()
    day.push()
    day.node.wait_until(lambda status: "cannot be reached" in str(status["rounds"]))
    day.archive.start()
    day.finish()


def test_an_archive_that_does_not_answer(day: Day, row: Callable[[str, str], None]) -> None:
    """The kernel takes the connection, nobody answers for longer than we wait, and then it goes on."""
    row("C-STORE", "archive silent past timeout_s")
    assert day.archive.process is not None
    day.archive.process.send_signal(signal.SIGSTOP)
    day.again += 1
    day.push()
    day.node.wait_until(lambda status: "no answer" in str(status["rounds"]) or "cannot be" in str(status["rounds"]))
    day.archive.process.send_signal(signal.SIGCONT)
    day.finish()


def test_two_receivers_and_two_workers_on_one_ledger(day: Day, row: Callable[[str, str], None]) -> None:
    """One of each is killed in the middle of it."""
    row("everything", "two receivers, two workers; one of each kill -9")
    (port,) = free_ports(1)
    second = Destination(name="second", ae_title="CXRNODE", host="127.0.0.1", port=port)
    with (
        day.another("receive", CXRNODE_RECEIVING__PORT=str(port)) as receiver,
        day.another("work", "--role", "analyse") as worker,
    ):
        for _ in range(3):
            day.push(second)
            day.push()
        struck = day.plant(Point.MID_DATA_SET, Fault.KILL)
        day.push(second, day.node.receiver)
        assert struck()
        assert receiver.wait(30) == 1  # one of its processes was killed, and all end
        os.killpg(worker.pid, signal.SIGKILL)
        day.push()
    day.finish()


def test_a_paused_worker_that_wakes_after_its_lease_writes_nothing(day: Day, row: Callable[[str, str], None]) -> None:
    """As a virtual machine that is halted for a while: its results are on the disk, its lease is over.

    I3, seen red: ledger/work.py `settle`, fence and state left out of `mine`: the sleeper's result is not dropped.
    """
    row("results kept, before the ledger", "worker paused past its lease")
    struck = day.plant(Point.RESULTS_KEPT, Fault.STOP_ALL)
    day.push()
    day.wait(struck)
    halted = [pid for pid in day.pids("--role", "analyse") if state_of(pid) == "T"]
    assert len(halted) == 2, "the process and its parent"
    with day.another("work", "--role", "analyse"):
        day.node.wait_until_finished(len(day.acknowledged))
        process = next(pid for pid in halted if parent_of(pid) in halted)
        os.kill(process, signal.SIGCONT)  # before its parent, which would stop it: the task has overrun
        day.node.wait_until_logged("result dropped")
        os.killpg(os.getpgid(process), signal.SIGCONT)
        day.finish()


def test_everything_is_restarted_one_after_the_other(day: Day, row: Callable[[str, str], None]) -> None:
    row("everything", "rolling restart, SIGTERM, while studies come")
    for words in (("cli", "receive"), ("--role", "analyse"), ("--role", "deliver"), ("broker.sock",)):
        first = min(day.pids(*words))
        day.push()
        os.kill(first, signal.SIGTERM)
        day.push()
        day.wait(lambda words=words, first=first: bool(set(day.pids(*words)) - {first}) and not alive(first))
    day.finish()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def state_of(pid: int) -> str:
    """A process's state, one letter (proc(5))."""
    return stat(pid)[0]


def parent_of(pid: int) -> int:
    """The pid of a process's parent."""
    return int(stat(pid)[1])


def stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@pytest.mark.parametrize("hours", [5, -5])
def test_a_clock_that_jumps(hours: int, tmp_path: Path, row: Callable[[str, str], None]) -> None:
    """A worker had a study in hand, another is arriving.

    Seen red for -5: complete.py, without `clock.put_back` the studies wait for five hours.
    """
    row("everything", f"clock jumps by {hours:+d} h")
    shim, clock = tmp_path / "clock.so", tmp_path / "clock"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([program("gcc"), "-shared", "-fPIC", "-o", str(shim), str(source)], check=True)
    clock.write_bytes(struct.pack("q", 0))
    with long_day(tmp_path, environment={"LD_PRELOAD": str(shim), "TEST_CLOCK": str(clock)}) as day:
        struck = day.plant(Point.MID_ANALYSIS, Fault.KILL)
        day.push()
        day.wait(struck)
        day.push()
        with clock.open("r+b") as file:
            file.write(struct.pack("q", hours * 3600))
        day.finish()
        assert ("put back" in day.node.log.read_text()) == (hours < 0)
