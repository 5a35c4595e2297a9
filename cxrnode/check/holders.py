"""Who has a port of this machine, as the kernel tells it (proc(5)): the process, or at least its user."""

import pwd
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENS = "0A"
"""The state of a socket that listens (TCP_LISTEN)."""
PARTS = ("receive", "work", "flower", "up")
"""The commands of this program that listen."""


@dataclass(frozen=True)
class Holder:
    """A process that listens; `part` is which of this program's it is, empty of anybody else's."""

    told: str
    part: str = ""


def holders(port: int) -> list[Holder]:
    """Who listens at this port; none where the kernel does not say, as in a container of another's."""
    found: dict[str, Holder] = {}
    sockets = dict(_listening(port))
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            held = {inode for handle in (process / "fd").iterdir() if (inode := _inode(handle)) in sockets}
            found |= dict.fromkeys(held, _named(process))
    others = (f"a process of the user {_user(uid)}" for inode, uid in sockets.items() if inode not in found)
    return list(dict.fromkeys([*found.values(), *map(Holder, others)]))


def _listening(port: int) -> Iterator[tuple[str, int]]:
    """The sockets that listen at this port, with the user of each."""
    for table in TABLES:
        with suppress(OSError):
            for line in table.read_text(encoding="ascii").splitlines()[1:]:
                _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
                if state == LISTENS and int(local.rpartition(":")[2], 16) == port:
                    yield inode, int(uid)


def _inode(handle: Path) -> str:
    """Of a socket that a process has open; empty of anything else."""
    name = ""
    with suppress(FileNotFoundError):  # closed meanwhile, as the one that lists them is
        name = str(handle.readlink())
    return name.removeprefix("socket:[").removesuffix("]") if name.startswith("socket:[") else ""


def _named(process: Path) -> Holder:
    """By its number and its name; of its command line no more is told than which part of this program it is."""
    words = (process / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    ours = [number for number, word in enumerate(words[:4]) if Path(word).name in {"cxrnode", "cxrnode.cli"}]
    part = next((word for word in words[ours[0] :] if word in PARTS), "") if ours else ""
    name = f"cxrnode {part}" if part else (process / "comm").read_text(encoding="utf-8").strip()
    return Holder(f"process {process.name} ({name})", part)


def _user(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)
