"""Every file beneath the paths that a person names: folders, globs, single files, DICOMDIRs and .zip archives."""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import NoReturn

from pydicom import Dataset

from cxrnode.errors import SettingsError, Unreadable
from cxrnode.headers.header import items, texts
from cxrnode.plans.filed import ENCRYPTED, archive_at, first_bytes, first_of_member, name_of, read_member, read_path

MOST_LINKS = 10_000
"""Links to folders that are followed; each of them is remembered, so that none is followed twice."""


@dataclass(frozen=True)
class Found:
    """A file that is there, or that was to be there."""

    name: str
    """as `cxrnode.plans.filed` has it"""
    first: Callable[[int], tuple[bytes, int]]
    """its first bytes, so many at the most, and how many it has; raises Unreadable"""
    whole: Callable[[int], bytes]
    """all its bytes, so many at the most; raises Unreadable"""
    member: bool = False
    """of an archive"""
    claimed: bool = False
    """whether somebody says that this is a DICOM file"""
    missing: bool = False


@dataclass(frozen=True)
class Archive:
    """A .zip that is open; `encrypted` of its members cannot be read."""

    members: int
    encrypted: int
    files: Iterator[Found]
    """its members but for the encrypted ones"""


def check(paths: Sequence[Path | str]) -> None:
    """Raise SettingsError with every path that is not there and every glob that matches nothing."""
    nothing = [str(path) for path in paths if next(_matches(path), None) is None]
    if nothing or not paths:
        told = ", ".join(nothing) or "no path is given"
        raise SettingsError(f"nothing is there: {told}; wanted folders, DICOM files, DICOMDIRs, .zip archives or globs")


def beneath(paths: Sequence[Path | str]) -> Iterator[Found]:
    """Every file of these paths, in folders of folders too, by its real path; some come twice where paths overlap."""
    followed: set[str] = set()
    for path in paths:
        claimed = os.path.lexists(path)  # and no glob
        for match in _matches(path):
            real = os.path.realpath(match)
            if Path(real).is_dir():
                yield from _below(real, followed)
            else:
                yield _file_at(real, claimed=claimed)


def _matches(path: Path | str) -> Iterator[str]:
    """A path that is there is itself, whatever characters it has."""
    if os.path.lexists(path):
        return iter((os.fspath(path),))
    return glob.iglob(os.fspath(path), recursive=True, include_hidden=True)  # noqa: PTH207  that of Path knows no absolute pattern


def _below(root: str, followed: set[str]) -> Iterator[Found]:
    """Every file in a folder and its folders; a link to a folder is followed once."""
    open_folders = [(root, _entries(root))]
    while open_folders:
        folder, entries = open_folders[-1]
        try:
            entry = next(entries, None)
        except OSError as error:
            open_folders.pop()
            yield _nothing(name_of(Path(folder)), f"the folder cannot be listed ({error.strerror})", "leave to read it")
            continue
        if entry is None:
            open_folders.pop()
        elif not entry.is_symlink():
            if entry.is_dir():
                open_folders.append((entry.path, _entries(entry.path)))
            else:
                yield _file_at(entry.path)
        elif not Path(real := os.path.realpath(entry.path)).is_dir():
            yield _file_at(real)
        elif real not in followed and len(followed) < MOST_LINKS:
            followed.add(real)
            open_folders.append((real, _entries(real)))
        elif real not in followed:
            yield _nothing(name_of(Path(real)), f"more than {MOST_LINKS} folders are linked to", "fewer")


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """A folder's entries as they come, not all in memory at once."""
    with os.scandir(folder) as entries:
        yield from entries


def _file_at(path: str | Path, *, claimed: bool = False) -> Found:
    path = Path(path)
    return Found(name_of(path), partial(first_bytes, path), partial(read_path, path), claimed=claimed)


def _nothing(name: str, fault: str, wanted: str, *, missing: bool = False) -> Found:
    def refuse(_: int) -> NoReturn:
        raise Unreadable(f"{name}: {fault}; wanted {wanted}")

    return Found(name, refuse, refuse, missing=missing)


def archive_of(path: Path) -> Archive:
    """The members of a .zip, without unpacking it. Raises Unreadable where it is none, or its list is damaged."""
    archive = archive_at(path)
    listed = [info for info in archive.infolist() if not info.is_dir()]
    return Archive(
        members=len(listed),
        encrypted=sum(bool(info.flag_bits & ENCRYPTED) for info in listed),
        files=(
            Found(
                name_of(path, info.filename),
                lambda count, info=info: (first_of_member(archive, info, count), info.file_size),  # type: ignore[misc]
                partial(read_member, archive, info),
                member=True,
            )
            for info in listed
            if not info.flag_bits & ENCRYPTED
        ),
    )


def referenced(directory: Dataset, path: Path, member: str | None = None) -> Iterator[Found]:
    """The files that a DICOMDIR's records name (PS3.3 F.3.2.2), sought as media are mounted: in any case, with a ";1".

    Those of a DICOMDIR in an archive come only where they are missing: the others are members of it. Raises Unreadable
    where the archive is gone.
    """
    return _referenced(directory, path, member, _members_of(path) if member is not None else frozenset())


def _referenced(directory: Dataset, path: Path, member: str | None, there: frozenset[str]) -> Iterator[Found]:
    name = name_of(path, member)
    listed = lru_cache(maxsize=64)(_listed)
    for record in items(directory, "DirectoryRecordSequence"):
        parts = texts(record, "ReferencedFileID")
        if not parts or texts(record, "RecordInUseFlag") == ("0",):
            continue
        if any(part in {".", ".."} or "/" in part for part in parts):
            wanted = "/".join(parts)
            yield _nothing(f"{name} > {wanted}", "this is not below it", "a File ID (PS3.10 8.2)")
        elif member is not None:
            wanted = str(PurePosixPath(member).parent.joinpath(*parts))
            if _plain(wanted) not in there:
                yield _missing(name, name_of(path, wanted))
        else:
            found = _sought(path.parent, parts, listed)
            yield _file_at(found, claimed=True) if found else _missing(name, name_of(path.parent.joinpath(*parts)))


def _missing(directory: str, name: str) -> Found:
    return _nothing(name, "it is not there", f"it because {directory} names it", missing=True)


def _sought(folder: Path, parts: Sequence[str], listed: Callable[[Path], dict[str, str]]) -> Path | None:
    exact = folder.joinpath(*parts)
    if exact.is_file():
        return Path(os.path.realpath(exact))
    for part in parts:
        entry = listed(folder).get(_plain(part))
        if entry is None:
            return None
        folder /= entry
    return Path(os.path.realpath(folder)) if folder.is_file() else None


def _listed(folder: Path) -> dict[str, str]:
    try:
        return {_plain(name): name for name in sorted(entry.name for entry in folder.iterdir())}
    except OSError:
        return {}


def _members_of(path: Path) -> frozenset[str]:
    return frozenset(_plain(info.filename) for info in archive_at(path).infolist())


def _plain(name: str) -> str:
    """A name without what ISO 9660 adds (a version, a dot at the end), in one case."""
    return name.casefold().removesuffix(";1").rstrip(".")
