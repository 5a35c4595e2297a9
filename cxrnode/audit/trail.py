"""The trail on the disk: a file a day, a message a line, written by every process of the node and never rewritten.

A day's file is `YYYY-MM-DD.xml` by UTC. A line is whole and durable when `write` returns. Lines are added at the ends
of files alone, so whoever forwards them remembers how far it came in each.
"""

import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cxrnode.audit.message import Message, as_line
from cxrnode.errors import AuditUnavailable
from cxrnode.whole import for_its_owner, sync_folder

SUFFIX = ".xml"
BEGINS, ENDS = b"<AuditMessage>", b"</AuditMessage>"


@dataclass(frozen=True)
class Line:
    """One message, with where the file goes on after it."""

    file: str
    end: int
    content: bytes


class Trail:
    """The folder of the trail, made with mode 0700 at the first message."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, messages: Sequence[Message], now: datetime) -> None:
        """Add messages to the file of the day and have them on the disk. Raises AuditUnavailable."""
        lines = b"".join(as_line(message) + b"\n" for message in messages)
        if not lines:
            return
        try:
            self._add(lines, self.folder / f"{now.astimezone(UTC):%Y-%m-%d}{SUFFIX}")
        except OSError as error:
            told = f"the audit trail cannot be written in {self.folder} ({error.strerror or type(error).__name__})"
            raise AuditUnavailable(told) from error

    def require_writable(self) -> None:
        """Raises AuditUnavailable where a message could not be written now; nothing is made by asking."""
        there = next(one for one in (self.folder, *self.folder.absolute().parents) if one.exists())
        if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            raise AuditUnavailable(f"{there} cannot be written; wanted a folder for the audit trail")
        if not os.statvfs(there).f_bavail:
            raise AuditUnavailable(f"there is no room in {there}; wanted some for the audit trail")

    def files(self) -> list[Path]:
        """The files of all days, the oldest first."""
        return sorted(self.folder.glob(f"????-??-??{SUFFIX}"))

    def after(self, file: Path, offset: int) -> Iterator[Line]:
        """The messages of a file from `offset` on, but none that is being written, or that a power cut left torn."""
        with file.open("rb") as opened:
            opened.seek(offset)
            for line in opened:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                content = line.strip()
                if content.startswith(BEGINS) and content.endswith(ENDS):
                    yield Line(file.name, offset, content)

    def _add(self, lines: bytes, path: Path) -> None:
        new = not path.exists()
        self._have_folder()
        with _locked(path) as file:
            end = os.fstat(file).st_size
            torn = end > 0 and os.pread(file, 1, end - 1) != b"\n"  # a power cut: what comes begins a line of its own
            try:
                _write_all(file, b"\n" * torn + lines)
                os.fsync(file)
            except OSError:
                os.ftruncate(file, end)
                raise
        if new:
            sync_folder(self.folder)

    def _have_folder(self) -> None:
        """Where root makes it, it becomes the property of whom the folder above belongs to."""
        if self.folder.is_dir():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            above = self.folder.absolute().parent.stat()
            os.chown(self.folder, above.st_uid, above.st_gid)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, which nobody else adds to meanwhile; root makes it the property of whom the folder belongs to."""
    file = for_its_owner(str(path), os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        owner = path.parent.stat()
        if os.geteuid() == 0 and os.fstat(file).st_uid != owner.st_uid:
            os.fchown(file, owner.st_uid, owner.st_gid)
        if stat.S_IMODE(os.fstat(file).st_mode) & 0o077:
            os.fchmod(file, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _write_all(file: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]
