"""`cxrnode backup FOLDER`: ledger first, then the spool, while the node runs and nothing is removed.

The ledger never knows of bytes that are not on the disk yet, so a spool that is copied after it holds all that the
ledger's copy speaks of, as long as nothing is removed meanwhile: retention and `cxrnode purge` wait. What is in the
spool beyond that came later, and is entered by the node that is restored, as after a ledger that was away.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from socket import gethostname

from rich.console import Console

from cxrnode import __version__
from cxrnode.backup.contents import FORM, INSTANCES, LABEL, SALT, Label, latest, trees
from cxrnode.backup.duplicate import SUMS, copy, linked, make_folder, read_sums, write_sums
from cxrnode.counted import counted
from cxrnode.draft import locked
from cxrnode.errors import Retryable, SettingsError, SpoolFull
from cxrnode.ledger.copies import copy_out, name_of_copy
from cxrnode.settings import Settings
from cxrnode.spool import Spool
from cxrnode.uids import digest_of
from cxrnode.whole import sync_folder, written_whole

DRAFT = ".backup.draft"
"""The end of the name of one that is being made; before it stands whose it is: several nodes may use one folder."""
PATIENCE_S = 60.0
"""How long it waits for one who removes studies just now."""


def backup(settings: Settings, folder: Path, now: datetime, *, copy_all: bool, as_json: bool) -> None:
    """Make the backup and print what is in it; it takes its name when it is whole.

    Raises SettingsError where the folder is taken, LedgerUnavailable, and Retryable when the disk is full or others
    remove studies, or make a backup, for too long.
    """
    label = make(settings, folder, now, copy_all=copy_all)
    if as_json:
        print(json.dumps({"folder": str(folder)} | asdict(label), indent=2))
        return
    told = f"{counted(label.instances, 'instance')}, {counted(label.files, 'file')} ({label.size / 1e6:.1f} MB)"
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"{folder}: {told}. It holds patients' images; check it by `sha256sum --check --quiet {SUMS}`.")


def make(settings: Settings, folder: Path, now: datetime, *, copy_all: bool = False) -> Label:
    """The same in silence; what is in it.

    What the latest backup beside it has, and has not changed since, is linked to, unless all is to be copied.
    """
    if folder.exists():
        raise SettingsError(f"{folder} is there already; wanted the name of a folder to make")
    earlier = _Earlier(None if copy_all else latest(folder.parent, settings.node.name))
    mine = digest_of([settings.node.name, gethostname()])[:8] + DRAFT
    draft = folder.with_name(f".{folder.name}.{mine}")
    spool = Spool(settings.node.spool_dir, settings.receiving.reserve_gb)
    with _nothing_removed(spool):
        for killed in folder.parent.glob(f".*.{mine}"):
            shutil.rmtree(killed, ignore_errors=True)
        try:
            make_folder(draft)
            sums = _copied(settings, draft, earlier, partial(_leave_reserve, spool, draft))
            write_sums(draft, sums)
            label = _label(settings, draft, sums, now)
            with written_whole(draft / LABEL) as file:
                file.write(label.written())
            os.sync()  # once for all files: one by one a million would take hours
            draft.rename(folder)
            sync_folder(folder.parent)
        except OSError as error:
            raise Retryable(f"{folder}: the backup cannot be made ({error.strerror}); wanted room for it") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return label


def _copied(
    settings: Settings, draft: Path, earlier: "_Earlier", require_room: Callable[[int], None]
) -> dict[str, str]:
    """Everything, the ledger first; the sha256 of each file by its name in the backup."""
    ledger = name_of_copy(settings.ledger_url)
    require_room(0)
    copy_out(settings.ledger_url, draft / ledger)
    with (draft / ledger).open("rb") as written:
        sums = {ledger: hashlib.file_digest(written, "sha256").hexdigest()}
    sums[SALT] = copy(settings.node.spool_dir / "salt", draft / SALT)
    for name, tree in trees(settings).items():
        for file in _files(tree):
            within = f"{name}/{file.relative_to(tree).as_posix()}"
            known = earlier.linked(within, file, draft / within)
            try:
                if not known:
                    require_room(file.stat().st_size)
                sums[within] = known or copy(file, draft / within)
            except FileNotFoundError:  # results of a round that had come to nothing: the ledger does not speak of them
                (draft / within).unlink(missing_ok=True)
    return sums


def _files(tree: Path) -> Iterator[Path]:
    """The files below a folder that are whole, none where it is not there; folder by folder, never all in memory."""
    for folder, _, names in os.walk(tree):
        for name in sorted(names):
            if not name.endswith(".draft") and (Path(folder) / name).is_file():
                yield Path(folder) / name


def _leave_reserve(spool: Spool, draft: Path, size: int) -> None:
    """Raise Retryable where a copy of so many bytes would take the spool's disk what images need."""
    if draft.stat().st_dev != spool.root.stat().st_dev:
        return
    try:
        spool.require_room(size)
    except SpoolFull as error:
        told = f"{draft.parent} lies on the spool's disk: {error}; wanted another disk, or a smaller reserve"
        raise Retryable(told) from error


@contextmanager
def _nothing_removed(spool: Spool) -> Iterator[None]:
    """Whoever removes anything of the spool holds its lock meanwhile (retention.py, erase.py)."""
    give_up = time.monotonic() + PATIENCE_S
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(locked(spool.root))
                break
            except BlockingIOError as error:
                if time.monotonic() > give_up:
                    raise Retryable("studies are being removed, or another backup is made; wanted neither") from error
                time.sleep(0.1)
        yield


def _label(settings: Settings, draft: Path, sums: dict[str, str], now: datetime) -> Label:
    return Label(
        form=FORM,
        version=__version__,
        node=settings.node.name,
        ae_title=settings.node.ae_title,
        ledger=name_of_copy(settings.ledger_url),
        taken_at=now.isoformat(),
        instances=sum(name.startswith(INSTANCES) and name.endswith("/receipt.json") for name in sums),
        files=len(sums),
        size=sum((draft / name).stat().st_size for name in sums),
        sums=hashlib.sha256((draft / SUMS).read_bytes()).hexdigest(),
    )


class _Earlier:
    """An earlier backup, or none, whose files are linked to where they have not changed."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._sums: dict[str, str] = {}
        if folder is not None:
            self._sums = read_sums(folder)

    def linked(self, name: str, source: Path, target: Path) -> str:
        """The sha256 of a file that is linked to now; empty where it is not."""
        known = self._sums.get(name, "")
        return known if known and self._folder and linked(source, self._folder / name, target) else ""
