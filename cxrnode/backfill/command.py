"""`cxrnode replay`: a plan made, shown, loaded and run until every study has its verdict; begun again, it goes on."""

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from cxrnode.backfill.planning import Manner, Planning
from cxrnode.backfill.progress import line, shown
from cxrnode.backfill.summary import show_verdicts
from cxrnode.draft import locked
from cxrnode.errors import SettingsError
from cxrnode.ledger import Ledger, concluded, planned, replays
from cxrnode.ledger.replays import Replay
from cxrnode.plans import plan, verdicts
from cxrnode.plans.plan import Origin
from cxrnode.replay.asked import Asked
from cxrnode.replay.choose import archive_named
from cxrnode.replay.fetching import Fetching
from cxrnode.replay.local import Files, Kept
from cxrnode.replay.run import Run
from cxrnode.replay.source import Source
from cxrnode.settings import Settings
from cxrnode.spool import Spool


def preview(asked: Asked, settings: Settings, manner: Manner, saved_to: Path | None) -> None:
    """Make the plan and show what it comes to; kept where it is to be, else thrown away. Nothing else is written.

    Raises SettingsError, also where there is a file already.
    """
    if saved_to is not None and saved_to.exists():
        raise SettingsError(f"{saved_to} exists; wanted a new file for the plan")
    planning = Planning(asked, settings, Ledger(settings.ledger_url), manner)
    with tempfile.TemporaryDirectory(prefix="cxrnode-plan-", dir=planning.folder) as folder:
        path = asked.plan or saved_to or Path(folder) / "plan.jsonl"
        if asked.plan is None:
            planning.make(path)
        planning.show(path)
    if saved_to is not None and not manner.as_json:
        Console().print(f"Plan: {saved_to}", highlight=False, soft_wrap=True)


def replay(asked: Asked, settings: Settings, manner: Manner) -> bool:
    """Run what was asked for, or go on with it; whether every study has its verdict. Raises SettingsError.

    The plan is made and proved before a replay is begun by it: what cannot be done leaves none. One host runs a replay:
    its plan, and the lock that keeps a second run off, lie in that host's state folder.
    """
    if manner.verdicts is not None and not os.access(manner.verdicts.absolute().parent, os.W_OK):
        raise SettingsError(f"{manner.verdicts}: no file can be written there; wanted a folder that there is")
    ledger = Ledger(settings.ledger_url)
    planning = Planning(asked, settings, ledger, manner)
    _ = planning.digests  # a model that is not there is told before anything is begun
    begun = replays.unfinished(ledger, asked.request)
    if begun is None:
        head = plan.head_of(planning.proved())
        begun = replays.begin(ledger, asked.request, head, datetime.now(UTC))
    folder = planning.folder / begun.key
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        with locked(folder):
            run = replays.of_key(ledger, begun.key)  # what another run of it has done until now
            if run.loaded_at is None:
                _load(ledger, run, planning.of(folder))
            return _run(run, planning, manner.verdicts or folder / "verdicts.csv")
    except BlockingIOError:
        raise SettingsError(f"replay {begun.key[:8]} is running already; wanted one run of it at a time") from None


def _load(ledger: Ledger, run: Replay, path: Path) -> None:
    replays.clear(ledger, run.key)
    number = 1
    for batch in plan.batches(plan.entries_of(path)):
        planned.load(ledger, run.key, number, batch, datetime.now(UTC))
        number += len(batch)
    replays.loaded(ledger, run.key, datetime.now(UTC))


def _run(run: Replay, planning: Planning, verdict_file: Path) -> bool:
    ledger, manner = planning.ledger, planning.manner
    fetching = Fetching(_source(run, planning.settings), manner.fetches)
    going = Run(ledger, run, fetching, manner.pace, planning.digests)
    console, stop = Console(stderr=True, soft_wrap=True, highlight=False), threading.Event()
    begun = "" if run.loaded_at is None else ", going on"
    console.print(f"Replay {run.key[:8]}{begun}: {line(going.standing)}")
    with _stopped_by_signals(stop), shown(going.standing, as_json=manner.as_json) as show:
        ended = going.go(show, stop)
    if not ended:
        console.print(f"Stopped: {line(going.standing)}. The same command goes on.")
        return False
    counts, total = verdicts.write(verdict_file, concluded.rows(ledger, run.key)), going.standing.total
    show_verdicts(counts, going.standing, verdict_file, as_json=manner.as_json)
    if counts.total() != total:
        console.print(f"{counts.total()} studies have a verdict, the plan has {total}. The same command goes on.")
        return False
    replays.finished(ledger, run.key, datetime.now(UTC))  # not before the file is there: cut off, it is written again
    return True


def _source(run: Replay, settings: Settings) -> Source:
    spool = Spool(settings.node.spool_dir, settings.receiving.reserve_gb)
    match run.head.origin:
        case Origin.FILES:
            return Files(
                spool, run.key, settings.receiving.largest_instance_mb * 2**20, run.head.asked.get("calling-ae", "")
            )
        case Origin.ARCHIVE:
            from cxrnode.replay.remote import FromArchive

            return FromArchive(
                archive_named(settings, run.head.archive), spool, run.key, settings.node, settings.receiving
            )
        case Origin.SPOOL:
            return Kept()


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM let what is being fetched come to its end; a second one does not."""

    def stopped(number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(128 + number)  # nothing is lost by it
        stop.set()

    before = {number: signal.signal(number, stopped) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
