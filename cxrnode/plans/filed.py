"""A file by the name that a plan has for it: its path, or the path of a .zip, two colons and the member's name.

A path that would be mistaken for another name, or has bytes that are no text, is written as a file: URI (RFC 8089), so
that a name is always Unicode text, and always tells one file. Nothing of an archive is unpacked to the disk.
"""

import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from cxrnode.errors import Unreadable
from cxrnode.headers.header import text
from cxrnode.headers.opening import parsed

BETWEEN = "::"
URI = "file://"
MOST_LISTED = 2**24
"""Bytes of an archive's list of members: some hundred thousand of them. Python holds ten times as much."""
ENCRYPTED = 0x1
KNOWN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those that `zipfile` unpacks no further than is asked for: a kilobyte of bzip2 may become a gigabyte at once."""
END, END_64, LOCATOR_64 = b"PK\5\6", b"PK\6\6", b"PK\6\7"
"""Signatures of a .zip's end (APPNOTE 4.3.14 to 4.3.16)."""
LONGEST_END = 76 + 22 + 2**16
"""Bytes: the end of an archive of more than 4 GB, the end itself, and the longest comment after it."""


def name_of(path: Path, member: str | None = None) -> str:
    """The name of a file, or of a member of an archive."""
    shown = str(path)
    if BETWEEN in shown or shown.endswith(":") or shown.startswith(URI) or not _is_text(shown):
        shown = path.absolute().as_uri()
    return shown if member is None else f"{shown}{BETWEEN}{member}"


def place_of(name: str) -> tuple[Path, str | None]:
    """The path that a name stands for, and the member where it is one of an archive."""
    shown, between, member = name.partition(BETWEEN)
    path = os.fsdecode(unquote_to_bytes(shown.removeprefix(URI))) if shown.startswith(URI) else shown
    return Path(path), member if between else None


def open_file(name: str, largest: int, study: str = "") -> bytes:
    """The bytes of a file, `largest` at the most; several threads may call it at once.

    Raises Unreadable, with the reason, for one that is gone, larger, damaged or changed while it is read, or that is no
    longer of `study` (its Study Instance UID), where one is given.
    """
    path, member = place_of(name)
    if member is None:
        content = read_path(path, largest)
    else:
        archive = archive_at(path)
        content = read_member(archive, _info(archive, path, member), largest)
    if study:
        found = text(parsed(content, pixels=False, keywords=["StudyInstanceUID"]), "StudyInstanceUID")
        if found != study:
            raise Unreadable(f"{name}: its Study Instance UID is now {found or 'absent'}; wanted {study} as planned")
    return content


def read_path(path: Path, largest: int) -> bytes:
    """The bytes of a file, all of them. Raises Unreadable."""
    with _regular(path) as (file, size):
        if size > largest:
            raise too_large(name_of(path), size, largest)
        content = file.read(size + 1)
    if len(content) != size:
        raise Unreadable(f"{name_of(path)}: it changed while it was read; wanted a file that is left alone")
    return content


def first_bytes(path: Path, count: int) -> tuple[bytes, int]:
    """The first bytes of a file, so many at the most, and how many it has. Raises Unreadable."""
    with _regular(path) as (file, size):
        return file.read(count), size


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, largest: int) -> bytes:
    """The bytes of a member, all of them, with their checksum verified. Raises Unreadable."""
    name = name_of(Path(archive.filename or ""), info.filename)
    if info.file_size > largest:
        raise too_large(name, info.file_size, largest)
    content = first_of_member(archive, info, info.file_size + 1)
    if len(content) != info.file_size:
        raise Unreadable(f"{name}: it holds {len(content)} bytes; wanted {info.file_size} as its archive says")
    return content


def first_of_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, count: int) -> bytes:
    """The first bytes of a member, so many at the most. Raises Unreadable."""
    name = name_of(Path(archive.filename or ""), info.filename)
    if info.flag_bits & ENCRYPTED:
        raise Unreadable(f"{name}: it is encrypted; wanted a .zip without a password")
    if info.compress_type not in KNOWN_METHODS:
        raise Unreadable(f"{name}: compressed by method {info.compress_type}; wanted stored or deflated")
    try:
        with archive.open(info) as file:
            return file.read(count)
    except Exception as error:  # a reader of bytes that a stranger sent raises whatever there is to raise
        raise Unreadable(f"{name}: it is damaged ({_told(error)}); wanted a whole .zip") from error


def archive_at(path: Path) -> zipfile.ZipFile:
    """The archive at a path with its list of members read, kept open a while. Raises Unreadable."""
    with _regular(path) as (file, size):
        changed = os.fstat(file.fileno()).st_mtime_ns
    return _archive(path, size, changed)


@lru_cache(maxsize=2)
def _archive(path: Path, size: int, changed: int) -> zipfile.ZipFile:  # noqa: ARG001  a changed one is another
    """Those who still read from one that is no longer kept hold it open themselves."""
    with _regular(path) as (file, _):
        listed = _list_size(file, size)
    if listed > MOST_LISTED:
        raise Unreadable(
            f"{name_of(path)}: its list of members holds {listed} bytes; wanted {MOST_LISTED} at the most (unpack it)"
        )
    try:
        return zipfile.ZipFile(path)
    except Exception as error:  # likewise
        raise Unreadable(f"{name_of(path)}: it is no whole .zip ({_told(error)})") from error


def _list_size(file: BinaryIO, size: int) -> int:
    """How long an archive's central directory is, by what its end says; 0 where there is no end."""
    file.seek(max(size - LONGEST_END, 0))
    tail = file.read(LONGEST_END)
    at = tail.rfind(END, 0, max(len(tail) - 22, 0) + 4)
    if at < 0:
        return 0
    before = tail[max(at - 76, 0) : at]
    if len(before) == 76 and before[:4] == END_64 and before[56:60] == LOCATOR_64:
        return int(struct.unpack_from("<Q", before, 40)[0])
    return int(struct.unpack_from("<L", tail, at + 12)[0])


def _info(archive: zipfile.ZipFile, path: Path, member: str) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(member)
    except KeyError as error:
        raise Unreadable(f"{name_of(path, member)}: the archive has no such member; wanted it as planned") from error


@contextmanager
def _regular(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The file at a path and its size; never waits for a pipe. Raises Unreadable for what is no regular file."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise Unreadable(f"{name_of(path)}: it is no regular file; wanted one")
            yield file, found.st_size
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte in it
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(f"{name_of(path)}: it cannot be read ({reason}); wanted a file") from error


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def too_large(name: str, size: int, largest: int) -> Unreadable:
    """The reason why a file is not read."""
    return Unreadable(f"{name}: it holds {size} bytes; wanted {largest} at the most (receiving.largest_instance_mb)")


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
