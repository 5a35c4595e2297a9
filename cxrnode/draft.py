"""An instance on its way into the spool: its bytes go to the disk as they come, and all of it is durable at once."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from io import FileIO
from pathlib import Path

from cxrnode.faultpoints import Point, reached
from cxrnode.whole import at_once, begin_writing, for_its_owner, sync_folder

BEGIN_EVERY = 4 * 2**20
"""Bytes after which the disk begins to write what has come of an image."""
MOST_PIECES = 1024
"""of one writev (IOV_MAX of Linux)"""


class Draft:
    """An instance on its way into the spool: a folder of its own under `incoming`, locked, and gone unless placed.

    Written to the disk while it arrives, so that no image is ever whole in memory.
    """

    def __init__(self, incoming: Path, room_for: Callable[[int], AbstractContextManager[None]]) -> None:
        self._room_for = room_for
        self.folder = incoming / secrets.token_hex(8)
        self.folder.mkdir(mode=0o700)
        self._open = ExitStack()
        self._size = self._begun = 0
        with ExitStack() as opened:
            opened.callback(shutil.rmtree, self.folder, ignore_errors=True)
            opened.enter_context(locked(self.folder))
            self._file = opened.enter_context(open(self.path, "xb", buffering=0, opener=for_its_owner))
            self._open = opened.pop_all()

    @property
    def path(self) -> Path:
        """Where its bytes lie."""
        return self.folder / "image.dcm"

    def write(self, *pieces: bytes | memoryview) -> None:
        """The next bytes; the kernel begins to write them some megabytes later. Raises SpoolFull, OSError."""
        size = sum(map(len, pieces))
        with self._room_for(size):
            written = os.writev(self._file.fileno(), pieces) if len(pieces) <= MOST_PIECES else 0
            if written < size:
                _write(self._file, memoryview(b"".join(pieces))[written:])
        self._size += size
        if self._size - self._begun >= BEGIN_EVERY:
            begin_writing(self._file.fileno(), self._begun, self._size - self._begun)
            self._begun = self._size

    def seal(self, receipt: bytes, *folders: Path) -> None:
        """Bytes and receipt durable, under the names they have here, and these folders. Raises SpoolFull, OSError.

        All are asked for at once: the disk then flushes its cache once, and not for each.
        """
        with (
            self._room_for(len(receipt)),
            open(self.folder / "receipt.json", "wb", buffering=0, opener=for_its_owner) as file,
        ):
            _write(file, memoryview(receipt))
            begin_writing(file.fileno(), 0, len(receipt))
            reached(Point.BEFORE_FSYNC)
            names = [partial(sync_folder, folder) for folder in (self.folder, *folders)]
            at_once(partial(os.fsync, self._file.fileno()), partial(os.fsync, file.fileno()), *names)

    def close(self) -> None:
        """Let go of it; what was not placed is removed."""
        self._open.close()


def _write(file: FileIO, content: memoryview) -> None:
    """All of it, however little a disk takes at a time. Raises OSError."""
    while content:
        content = content[file.write(content) :]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which the kernel lets go when this process dies. Raises BlockingIOError: another has it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
