"""Files copied with their digest, and a list of digests as `sha256sum --check` reads it."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from cxrnode.errors import Unreadable
from cxrnode.whole import for_its_owner, written_whole

SUMS = "SHA256SUMS"
LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<name>[^/\n][^\n]*)\n")
PIECE = 2**20


def copy(source: Path, target: Path) -> str:
    """Copy a file's bytes into a new one of mode 0600, its time of change kept; the sha256 of what was read.

    Raises OSError. Nothing is durable yet.
    """
    digest = hashlib.sha256()
    make_folder(target.parent)
    with source.open("rb", buffering=0) as reading, open(target, "xb", buffering=0, opener=for_its_owner) as writing:
        while piece := reading.read(PIECE):
            digest.update(piece)
            writing.write(piece)
        changed = os.fstat(reading.fileno())
    os.utime(target, ns=(changed.st_atime_ns, changed.st_mtime_ns))
    return digest.hexdigest()


def linked(source: Path, earlier: Path, target: Path) -> bool:
    """Make `target` another name of `earlier`, a copy of `source` made before; False: it is none, or cannot be.

    The same size and time of change are taken for the same bytes, as nothing in the spool is written twice.
    """
    try:
        now, then = source.stat(), earlier.stat()
        if (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns):
            return False
        make_folder(target.parent)
        target.hardlink_to(earlier)
    except OSError:
        return False
    return True


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each with mode 0700; nothing where it is there."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write the list of a folder's files, by name with their sha256."""
    with written_whole(folder / SUMS) as lines:
        lines.writelines(f"{sha256}  {name}\n" for name, sha256 in sums.items())


def read_sums(folder: Path) -> dict[str, str]:
    """The list of a folder's files. Raises Unreadable where it is none, or names a file outside of the folder."""
    return dict(_lines(folder / SUMS))


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            for number, line in enumerate(lines, 1):
                found = LINE.fullmatch(line)
                if found is None or ".." in Path(found["name"]).parts:
                    raise Unreadable(f"{file}: line {number} is no sha256 and name of a file within the folder")
                yield found["name"], found["sha256"]
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{file}: cannot be read ({type(error).__name__}); wanted the list of a backup") from error
