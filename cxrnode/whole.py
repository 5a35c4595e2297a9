"""A text file that is there whole or not at all, and for its owner alone: a draft that takes its name at the end."""

import ctypes
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from cxrnode.errors import SettingsError


@contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """What is written here becomes the file at `path` (UTF-8, mode 0600) when all went well, and is gone otherwise.

    On return bytes and name are durable. Raises SettingsError where the file cannot be written.
    """
    draft = path.with_name(f".{secrets.token_hex(8)}.draft")
    try:
        with open(draft, "x", encoding="utf-8", newline="", opener=for_its_owner) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error.strerror}); wanted room for a file there") from error
    finally:
        draft.unlink(missing_ok=True)


def _sync_file_range() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    call: Callable[..., int] = ctypes.CDLL(None).sync_file_range
    call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]  # type: ignore[attr-defined]  # ctypes
    return call


FLUSHING: list[ThreadPoolExecutor] = []
"""Threads that wait for the disk: a pool, once one is wanted; a process that is forked begins without."""
os.register_at_fork(after_in_child=FLUSHING.clear)
SYNC_FILE_RANGE = _sync_file_range()
SYNC_FILE_RANGE_WRITE = 2


def begin_writing(handle: int, at: int, size: int) -> None:
    """Have the kernel begin to write these bytes of a file to the disk, so that the fsync to come is short.

    sync_file_range(2): it promises nothing and is no fsync; elsewhere than on Linux nothing happens.
    """
    if SYNC_FILE_RANGE is not None:
        SYNC_FILE_RANGE(handle, at, size, SYNC_FILE_RANGE_WRITE)


def for_its_owner(name: str, flags: int) -> int:
    """An opener (as `open` wants one) that makes files of mode 0600."""
    return os.open(name, flags, 0o600)


def at_once(first: Callable[[], None], *others: Callable[[], None]) -> None:
    """Wait for the disk in several ways at once: it flushes its cache once then, and not for each. Raises OSError."""
    if others and not FLUSHING:
        FLUSHING.append(ThreadPoolExecutor(16, "flush"))
    beside = [FLUSHING[0].submit(one) for one in others]
    try:
        first()
    finally:
        wait(beside)
    for one in beside:
        one.result()


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that the names in it are durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
