"""A real Celery worker with a real Redis for the benches: what a task costs it, and its studies a second."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis
import tomli_w
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid
from sqlalchemy import func, select

from cxrnode import broker
from cxrnode.jobs import Jobs
from cxrnode.ledger import arrivals, work
from cxrnode.ledger.states import Lane, State, Work
from cxrnode.ledger.tables import rounds
from cxrnode.ledger.work import Due
from cxrnode.settings import Settings, load
from cxrnode.settings.destination import Destination
from tests.desks import QUIET_S, receive
from workers.desk import Desk

PATIENCE_S = 120.0
TASKS, STUDIES = 200, 64
FAMILIES = ["report", "overlay", "presentation", "segmentation", "keyobjects"]


def pacs() -> Destination:

    send = {"positive": FAMILIES, "negative": FAMILIES[:2]}
    return Destination.model_validate({"name": "pacs", "ae_title": "P", "host": "127.0.0.1", "port": 1, "send": send})


def renewed(made: FileDataset) -> FileDataset:
    """The same film as another study's, its pixels shared."""
    made.SOPInstanceUID, made.StudyInstanceUID = generate_uid(), generate_uid()
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def held(cores: int) -> list[str]:
    """Words before a command that hold it to so many cores."""
    return ["taskset", "--cpu-list", ",".join(map(str, sorted(os.sched_getaffinity(0))[:cores]))]


def queue(folder: Path) -> float:
    """Milliseconds a task that has nothing to do takes from being put into the queue to its acknowledgement."""
    with _worker(folder, 1) as settings:
        jobs = Jobs(settings.broker_url)
        begun = time.perf_counter()
        for number in range(TASKS):
            jobs.submit(Due(f"{number:032x}", Work.ANALYSE, Lane.LIVE))
        broker_itself = redis.Redis(unix_socket_path=str(settings.node.run_dir / "broker.sock"))
        _wait(lambda: not jobs.waiting("live")[0] and not broker_itself.hlen("unacked"), settings)
        took = time.perf_counter() - begun
        jobs.close()
    return took * 1000 / TASKS


def rate(film: FileDataset, folder: Path, processes: int) -> float:
    """Studies a second of so many workers on as many cores, all of them in the queue from the start."""
    with _worker(folder, processes) as settings:
        desk, jobs = Desk(settings), Jobs(settings.broker_url)
        for _ in range(STUDIES):
            receive(desk, renewed(film), at=datetime.now(UTC) - timedelta(hours=1))
        now = datetime.now(UTC)
        arrivals.close_settled(desk.ledger, QUIET_S, now)
        due = work.due(desk.ledger, now, {})
        begun = time.perf_counter()
        for task in due:
            jobs.submit(task)
        _wait(lambda: _analysed(desk) == STUDIES, settings, every_s=0.1)
        took = time.perf_counter() - begun
        jobs.close()
        desk.ledger.close()
    return STUDIES / took


def _analysed(desk: Desk) -> int:
    with desk.ledger.reading() as db:
        analysed = select(func.count()).select_from(rounds).where(rounds.c.state == State.ANALYSED)
        return int(db.execute(analysed).scalar_one())


@contextmanager
def _worker(folder: Path, processes: int) -> Iterator[Settings]:
    """A broker and a Celery worker of so many processes, both on as many cores, its models ready; ended by pid."""
    config, log = folder / "node.toml", folder / "node.log"
    tables = {
        "node": {"state_dir": str(folder / "state")},
        "receiving": {"reserve_gb": 0},
        "rules": {"gate": "warn"},
        "worker": {"processes": processes},
        "destinations": [pacs().model_dump(mode="json")],
    }
    config.write_text(tomli_w.dumps(tables), encoding="utf-8")
    settings = load(config)
    settings.node.run_dir.mkdir(parents=True)
    worker = [sys.executable, "-m", "cxrnode.cli", "--config", str(config), "work", "--role", "analyse"]
    with log.open("wb") as sink:
        commands = [broker.command(settings.node.run_dir), worker]
        on = held(processes)
        running = [subprocess.Popen([*on, *command], stdout=sink, stderr=sink) for command in commands]
    try:
        _wait(lambda: log.read_text().count("model ready") >= processes, settings)
        yield settings
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(PATIENCE_S)


def _wait(true: Callable[[], bool], settings: Settings, every_s: float = 0.02) -> None:
    """Look now and then: whoever looks takes the cores of those that are looked at."""
    give_up = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > give_up:
            raise AssertionError((settings.node.state_dir.parent / "node.log").read_text()[-3000:])
        time.sleep(every_s)
