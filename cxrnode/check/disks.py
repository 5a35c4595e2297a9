"""Whether there is room, in bytes and in files, where the node writes."""

import os
import tempfile
from pathlib import Path

from cxrnode.audit.recorder import folder_of
from cxrnode.errors import SpoolFull
from cxrnode.settings import Settings
from cxrnode.spool import GIB

FEWEST_FILES = 10_000
"""An image takes three (its folder, its bytes, its receipt), each result one."""
TEMPORARY_GB = 0.1
"""What a replay's plan, a canary's film or an SQLite that sorts may take."""


def disks(settings: Settings) -> str:
    """Nothing is written: where a folder is not there yet, the first of those above it that is has to be ours.

    Raises SpoolFull with all that is wrong.
    """
    reserve = settings.receiving.reserve_gb
    wanted = [
        ("state folder", settings.node.state_dir, reserve),
        ("spool", settings.node.spool_dir, reserve),
        ("audit trail", folder_of(settings), 0.0),
        ("temporary files", Path(tempfile.gettempdir()), TEMPORARY_GB),
    ]
    found: dict[int, tuple[list[str], str]] = {}
    faults = []
    for what, folder, least_gb in wanted:
        there = nearest(folder)
        faults += _faults(what, there, least_gb)
        found.setdefault(there.stat().st_dev, ([], _room(there)))[0].append(what)
    if faults:
        raise SpoolFull("; ".join(faults))
    return "; ".join(f"{', '.join(whats)}: {room} free" for whats, room in found.values())


def nearest(folder: Path) -> Path:
    """The folder itself, or the first of those above it that is there."""
    return next(one for one in (folder, *folder.absolute().parents) if one.exists())


def _faults(what: str, there: Path, least_gb: float) -> list[str]:
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return [f"{what}: {there} cannot be written; wanted a folder of this user's"]
    kept, faults = os.statvfs(there), []
    free_gb = kept.f_bavail * kept.f_frsize / GIB
    if free_gb < least_gb:
        faults.append(f"{what}: {free_gb:.2f} GB free at {there}; wanted {least_gb:g} GB at the least")
    if kept.f_files and kept.f_favail < FEWEST_FILES:  # some file systems have no number of files: they say 0
        left = f"{kept.f_favail:,} files can be made at {there}"
        faults.append(f"{what}: {left}; wanted {FEWEST_FILES:,} at the least (df -i)")
    return faults


def _room(there: Path) -> str:
    kept = os.statvfs(there)
    files = f" and {kept.f_favail:,} files" if kept.f_files else ""
    return f"{kept.f_bavail * kept.f_frsize / GIB:.1f} GB{files}"
