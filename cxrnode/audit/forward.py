"""The trail on its way to the hospital's collector: what it did not take stays in the files and goes later.

One process at a time forwards, whichever holds the lock; how far it came in each file lies beside them.
"""

import fcntl
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

from cxrnode.audit.syslog import send
from cxrnode.audit.trail import Line, Trail
from cxrnode.errors import SettingsError
from cxrnode.log import logger
from cxrnode.settings.collector import Audit
from cxrnode.whole import for_its_owner, written_whole

LOG = logger("audit")
BATCH = 200
"""Messages that go over one connection."""
LOOK_EVERY_S = 1.0
PIECE = 2**20
Send = Callable[[Sequence[bytes], Audit, str], None]


@dataclass
class Progress:
    """How far the collector has taken the trail: the end of what it has of each file; and since when it is away."""

    ends: dict[str, int] = field(default_factory=dict)
    away_since: str = ""
    reason: str = ""


class Forwarder:
    """Sends what is new, in the order of the files; `turn` is one look."""

    def __init__(self, trail: Trail, audit: Audit, sending: Send = send) -> None:
        self._trail, self._audit, self._send = trail, audit, sending
        self._stopping = threading.Event()
        self._again_at: datetime | None = None
        self._ends: dict[str, int] = {}
        """how far this process has come, also where that could not be noted"""

    def run(self) -> None:
        """Forward until `stop`."""
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.turn(datetime.now(UTC))
            except Exception as error:  # noqa: BLE001  the edge of a thread; the next look begins anew
                LOG.error("audit not forwarded", reason=type(error).__name__)

    def stop(self) -> None:
        """End `run`; what is left goes when it runs again."""
        self._stopping.set()

    def turn(self, now: datetime) -> int:
        """Send what the collector has not; how many messages it took."""
        left_s = (self._again_at - now).total_seconds() if self._again_at is not None else 0.0
        if 0 < left_s <= self._audit.retry_s:  # beyond: the clock was put back
            return 0
        taken = 0
        with _only_one(self._trail.folder) as alone:
            progress = begun(self._trail, now)
            progress.ends |= {name: max(end, progress.ends.get(name, 0)) for name, end in self._ends.items()}
            while alone and (batch := list(islice(unsent(self._trail, progress), BATCH))):
                try:
                    self._send([line.content for line in batch], self._audit, socket.gethostname())
                except OSError as error:
                    self._failed(progress, error, now)
                    return taken
                self._taken(progress, batch)
                taken += len(batch)
        return taken

    def _taken(self, progress: Progress, batch: Sequence[Line]) -> None:
        if progress.away_since:
            LOG.info("audit collector back")
        progress.ends |= {line.file: line.end for line in batch}
        progress.away_since = progress.reason = ""
        self._again_at = None
        _note(self._trail.folder, progress)
        self._ends = progress.ends

    def _failed(self, progress: Progress, error: OSError, now: datetime) -> None:
        self._again_at = now + timedelta(seconds=self._audit.retry_s)
        if not progress.away_since:
            progress.away_since = now.isoformat()
            LOG.error("audit collector away", reason=_in_words(error))
        progress.reason = _in_words(error)
        _note(self._trail.folder, progress)


@dataclass(frozen=True)
class Standing:
    """What `cxrnode status` says of the trail: how much waits for the collector, since when it is away, and why."""

    waiting: int
    away_since: str
    reason: str


def standing(trail: Trail, now: datetime) -> Standing:
    """How the trail stands with its collector."""
    progress = begun(trail, now)
    waiting = sum(_lines_after(file, progress.ends.get(file.name, 0)) for file in trail.files())
    return Standing(waiting, progress.away_since, progress.reason)


def begun(trail: Trail, now: datetime) -> Progress:
    """What was noted; where nothing was, all of the days before this one counts as sent: it was before the collector.

    A file that is new since is sent from its beginning, whatever its day: a clock may be put back.
    """
    with suppress(OSError, ValueError, TypeError):
        return Progress(**json.loads(_noted(trail.folder).read_text(encoding="utf-8")))
    today = f"{now.astimezone(UTC):%Y-%m-%d}"
    return Progress({file.name: file.stat().st_size for file in trail.files() if file.stem < today})


def unsent(trail: Trail, progress: Progress) -> Iterator[Line]:
    """The messages that the collector has not, the oldest file first."""
    for file in trail.files():
        end = progress.ends.get(file.name, 0)
        if file.stat().st_size > end:
            yield from trail.after(file, end)


def _lines_after(file: Path, end: int) -> int:
    """How many lines a file has from there on; counted in pieces, as a collector may have been away for long."""
    with file.open("rb") as opened:
        opened.seek(end)
        return sum(piece.count(b"\n") for piece in iter(partial(opened.read, PIECE), b""))


def _noted(folder: Path) -> Path:
    return folder / "forwarded.json"


def _note(folder: Path, progress: Progress) -> None:
    """Keep it; where that fails the same messages go once more after the next start, which is better than never."""
    there = {file.name for file in Trail(folder).files()}
    progress.ends = {name: end for name, end in progress.ends.items() if name in there}
    with suppress(SettingsError), written_whole(_noted(folder)) as file:
        json.dump(asdict(progress), file)


@contextmanager
def _only_one(folder: Path) -> Iterator[bool]:
    """Whether nobody else forwards this folder now."""
    if not folder.is_dir():
        yield False
        return
    lock = for_its_owner(str(folder / "forwarding.lock"), os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(lock)


def _in_words(error: OSError) -> str:
    return error.strerror or getattr(error, "reason", "") or type(error).__name__
