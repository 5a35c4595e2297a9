"""`cxrnode replay`: a plan made, shown, loaded and run until every study has its verdict; begun again, it goes on."""

import os
import signal
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from cxrnode import plan, verdicts
from cxrnode.backfill.progress import line, shown
from cxrnode.backfill.summary import show_estimate, show_verdicts
from cxrnode.errors import SettingsError
from cxrnode.gather import Tally
from cxrnode.ledger import Ledger, concluded, planned, replays
from cxrnode.ledger.planned import Known
from cxrnode.ledger.replays import Replay
from cxrnode.plan import Head, Origin
from cxrnode.replay.asked import Asked
from cxrnode.replay.choose import archive_named, entries
from cxrnode.replay.estimate import estimate
from cxrnode.replay.fetching import Fetching
from cxrnode.replay.local import Files, Kept
from cxrnode.replay.pace import Pace
from cxrnode.replay.run import Run
from cxrnode.replay.source import Source
from cxrnode.routing import choices
from cxrnode.settings import Settings
from cxrnode.spool import Spool, locked
from models.served import served


@dataclass(frozen=True)
class Manner:
    """How a replay is run, whatever it is about."""

    pace: Pace
    fetches: int
    verdicts: Path | None = None
    """the verdict file; None: beside the plan"""
    as_json: bool = False


def preview(asked: Asked, settings: Settings, manner: Manner, saved_to: Path | None) -> None:
    """Make the plan and show what it comes to; kept where it is to be, else thrown away. Nothing else is written.

    Raises SettingsError, also where there is a file already.
    """
    if saved_to is not None and saved_to.exists():
        raise SettingsError(f"{saved_to} exists; wanted a new file for the plan")
    ledger = Ledger(settings.ledger_url)
    with tempfile.TemporaryDirectory(prefix="cxrnode-plan-", dir=_folder(settings)) as folder:
        path = asked.plan or saved_to or Path(folder) / "plan.jsonl"
        if asked.plan is None:
            _make(asked, settings, ledger, path)
        _show(path, asked, settings, ledger, manner)
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
    digests = digests_of(settings, asked.model)
    begun = replays.unfinished(ledger, asked.request) or _begun(asked, settings, ledger, manner)
    folder = _folder(settings) / begun.key
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        with locked(folder):
            run = replays.of_key(ledger, begun.key)  # what another run of it has done until now
            if run.loaded_at is None:
                _load(ledger, run, _plan_of(asked, settings, ledger, manner, folder))
            return _run(run, settings, manner, ledger, digests, manner.verdicts or folder / "verdicts.csv")
    except BlockingIOError:
        raise SettingsError(f"replay {begun.key[:8]} is running already; wanted one run of it at a time") from None


def digests_of(settings: Settings, model: str) -> frozenset[str]:
    """The digests of all that may read: of one model, or of those that the settings say. Raises ModelMismatch."""
    wanted = {(model or choice.model, choice.prevalence) for choice in choices(settings)}
    zoo, lungs, gate = settings.model.zoo, settings.model.lungs, settings.rules.gate
    return frozenset(served(*one, zoo_dir=zoo, lungs=lungs, gate=gate).digest for one in wanted)


def _begun(asked: Asked, settings: Settings, ledger: Ledger, manner: Manner) -> Replay:
    head = plan.head_of(_planned(asked, settings, ledger, manner))
    return replays.begin(ledger, asked.request, head, datetime.now(UTC))


def _planned(asked: Asked, settings: Settings, ledger: Ledger, manner: Manner) -> Path:
    """A plan of what was asked for, read to its end and shown. Raises SettingsError."""
    path = asked.plan or _draft(asked, settings)
    if asked.plan is None:
        _make(asked, settings, ledger, path)
    head = plan.head_of(path)
    if head.origin is Origin.ARCHIVE:
        archive_named(settings, head.archive)
    _show(path, asked, settings, ledger, manner)
    return path


def _plan_of(asked: Asked, settings: Settings, ledger: Ledger, manner: Manner, folder: Path) -> Path:
    """The plan of a replay that was begun, taken into its folder where it is not a file of the asker's own."""
    path, draft = asked.plan or folder / "plan.jsonl", _draft(asked, settings)
    if not path.exists():
        draft = draft if draft.exists() else _planned(asked, settings, ledger, manner)
        draft.replace(path)
    return path


def _draft(asked: Asked, settings: Settings) -> Path:
    """Where a plan lies until its replay is begun; what a killed run left there, the next of these words replaces."""
    return _folder(settings) / f"{asked.request.digest}.jsonl"


def _head(asked: Asked, now: datetime) -> Head:
    return Head(origin=asked.origin, archive=asked.archive, asked=asked.words, made_at=now)


def _folder(settings: Settings) -> Path:
    folder = settings.node.state_dir / "replays"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _make(asked: Asked, settings: Settings, ledger: Ledger, path: Path) -> None:
    console, seen = Console(stderr=True), Tally()
    with console.status("choosing studies") as status:

        def progress(tally: Tally) -> None:
            nonlocal seen
            seen = tally
            status.update(tally.in_words)

        chosen = entries(asked, settings, ledger, _folder(settings), progress)
        plan.write(path, _head(asked, datetime.now(UTC)), chosen)
    if seen.files:
        console.print(seen.in_words, highlight=False, soft_wrap=True)


def _show(path: Path, asked: Asked, settings: Settings, ledger: Ledger, manner: Manner) -> None:
    known = Known(() if asked.again else digests_of(settings, asked.model), sent=asked.send)
    found = estimate(path, ledger, known, manner.pace, processes=settings.worker.processes)
    show_estimate(found, as_json=manner.as_json)


def _load(ledger: Ledger, run: Replay, path: Path) -> None:
    replays.clear(ledger, run.key)
    number = 1
    for batch in plan.batches(plan.entries_of(path)):
        planned.load(ledger, run.key, number, batch, datetime.now(UTC))
        number += len(batch)
    replays.loaded(ledger, run.key, datetime.now(UTC))


def _run(
    run: Replay,
    settings: Settings,
    manner: Manner,
    ledger: Ledger,
    digests: Collection[str],
    verdict_file: Path,
) -> bool:
    going = Run(ledger, run, Fetching(_source(run, settings), manner.fetches), manner.pace, digests)
    console, stop = Console(stderr=True), threading.Event()
    begun = "" if run.loaded_at is None else ", going on"
    console.print(f"Replay {run.key[:8]}{begun}: {line(going.standing)}", highlight=False, soft_wrap=True)
    with _stopped_by_signals(stop), shown(going.standing, as_json=manner.as_json) as show:
        ended = going.go(show, stop)
    if not ended:
        console.print(f"Stopped: {line(going.standing)}. The same command goes on.", highlight=False, soft_wrap=True)
        return False
    counts = verdicts.write(verdict_file, concluded.rows(ledger, run.key))
    show_verdicts(counts, going.standing, verdict_file, as_json=manner.as_json)
    if counts.total() != going.standing.total:
        console.print(
            f"{counts.total()} studies have a verdict, the plan has {going.standing.total}. The same command goes on.",
            highlight=False,
            soft_wrap=True,
        )
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
