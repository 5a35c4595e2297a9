"""`cxrnode restore FOLDER`: a backup becomes the state of a node that has none, each file held against its sha256."""

import errno
import hashlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from cxrnode.audit.trail import SUFFIX
from cxrnode.backup.contents import INSTANCES, RESULTS, SALT, Label, label_of, trees
from cxrnode.backup.duplicate import SUMS, copy, make_folder, read_sums
from cxrnode.counted import counted
from cxrnode.errors import Retryable, SettingsError, Unreadable
from cxrnode.ledger.copies import copy_in, empty, name_of_copy
from cxrnode.settings import Settings
from cxrnode.whole import sync_folder

SPOOL = (INSTANCES, RESULTS)


def restore(settings: Settings, folder: Path, *, all_that_is_whole: bool = False, as_json: bool) -> None:
    """Restore it and print what is there now. Raises as `bring` does."""
    label, damaged = bring(settings, folder, all_that_is_whole=all_that_is_whole)
    if as_json:
        told = {"state_dir": str(settings.node.state_dir)} | asdict(label) | {"damaged": damaged}
        print(json.dumps(told, indent=2))
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(
        f"Restored {counted(label.instances, 'instance')} and the ledger of {label.taken_at} from {folder}. "
        "What came later is not here: have it sent again, or fetch it with `cxrnode replay --archive`."
    )
    for name in damaged:
        console.print(f"Left out, as its bytes are not those that were written: {name}")


def bring(settings: Settings, folder: Path, *, all_that_is_whole: bool = False) -> tuple[Label, list[str]]:
    """Put a backup in its place; nothing is in place before every file was read and is as it was written.

    With `all_that_is_whole` images and results that are damaged are left out instead, and named. Raises SettingsError
    where there is a ledger or a spool already, or the ledger is of the other kind; Unreadable where the backup is
    damaged; LedgerUnavailable; Retryable when the disk is full.
    """
    label, sums = label_of(folder), read_sums(folder)
    if hashlib.sha256((folder / SUMS).read_bytes()).hexdigest() != label.sums:
        raise Unreadable(f"{folder / SUMS} is not the list that the backup was made with")
    _require_nothing(settings, label)
    places, spool = trees(settings), settings.node.spool_dir
    drafts = {name: tree.with_name(f"{tree.name}.restoring") for name, tree in places.items()}
    ledger, salt = spool / "ledger.restoring", spool / "salt.restoring"
    damaged: list[str] = []
    try:
        for draft in drafts.values():
            shutil.rmtree(draft, ignore_errors=True)
        make_folder(spool)
        for name, sha256 in sums.items():
            target = {label.ledger: ledger, SALT: salt}.get(name) or _within(drafts, name)
            target.unlink(missing_ok=True)
            if not _copied(folder / name, target, sha256):
                if not (all_that_is_whole and name.startswith(SPOOL) and name.endswith(".dcm")):
                    raise Unreadable(
                        f"{folder / name} has other bytes than were written, or none; wanted another backup"
                    )
                target.unlink(missing_ok=True)
                damaged.append(name)
        os.sync()
        copy_in(ledger, settings.ledger_url)
        _place(spool, drafts, places)
        _give_away(settings)
    except OSError as error:
        raise Retryable(
            f"{settings.node.state_dir}: cannot be restored ({error.strerror}); wanted room there"
        ) from error
    finally:
        for draft in drafts.values():
            shutil.rmtree(draft, ignore_errors=True)
        for file in (ledger, salt):
            file.unlink(missing_ok=True)
    return label, damaged


def _copied(source: Path, target: Path, sha256: str) -> bool:
    """Whether it was there, could be read, and is as it was written."""
    try:
        return copy(source, target) == sha256
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.EIO}:
            raise
        return False


def _require_nothing(settings: Settings, label: Label) -> None:
    if name_of_copy(settings.ledger_url) != label.ledger:
        kinds = {"ledger.sqlite": "a SQLite file", "ledger.dump": "PostgreSQL"}
        raise SettingsError(
            f"ledger.url is {kinds[name_of_copy(settings.ledger_url)]}, and the backup's ledger is of "
            f"{kinds.get(label.ledger, label.ledger)}; wanted the same kind"
        )
    places = trees(settings)
    for name in SPOOL:
        if any(files for _, _, files in os.walk(places[name])):
            raise SettingsError(f"{places[name]} holds files; wanted nothing there: move it away, the node being down")
    if not empty(settings.ledger_url):
        raise SettingsError("there is a ledger already; wanted none: move it away (or drop the tables), the node down")


def _within(drafts: dict[str, Path], name: str) -> Path:
    for tree, draft in drafts.items():
        if name.startswith(f"{tree}/"):
            return draft / name.removeprefix(f"{tree}/")
    raise Unreadable(f"the backup lists {name!r}, which is no part of a node")


def _remove_empty(tree: Path) -> None:
    """Remove a folder with the empty ones in it; OSError where a file has come meanwhile."""
    for folder, _, _ in os.walk(tree, topdown=False):
        Path(folder).rmdir()


def _place(spool: Path, drafts: dict[str, Path], places: dict[str, Path]) -> None:
    """All takes its name; an audit trail and replays that are here already are joined, and lose nothing."""
    (spool / "salt.restoring").rename(spool / "salt")
    for name, draft in drafts.items():
        if draft.is_dir():
            if name not in SPOOL and places[name].is_dir():
                for file in sorted(path for path in draft.rglob("*") if path.is_file()):
                    _join(file, places[name] / file.relative_to(draft))
            else:
                _remove_empty(places[name])
                draft.rename(places[name])
            sync_folder(places[name].parent)


def _join(file: Path, there: Path) -> None:
    """A restored file takes its place; of a day of the trail what was added here since comes after it."""
    if there.exists():
        if there.suffix != SUFFIX:
            return
        before, here = file.read_bytes(), there.read_bytes()
        if here.startswith(before):
            return
        with file.open("ab") as joined:
            joined.write(b"" if before.startswith(here) else b"\n" * (not before.endswith(b"\n")) + here)
            joined.flush()
            os.fsync(joined.fileno())
    make_folder(there.parent)
    file.replace(there)


def _give_away(settings: Settings) -> None:
    """What root restores is the property of whom the state folder belongs to, as all that the node writes itself."""
    owner = settings.node.state_dir.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    for top in {settings.node.state_dir, settings.node.spool_dir, *trees(settings).values()}:
        for folder, folders, files in os.walk(top):
            for name in (".", *folders, *files):
                os.chown(Path(folder) / name, owner.st_uid, owner.st_gid, follow_symlinks=False)
