"""The bytes on disk: durable before Success is answered, and the one place where a UID becomes a path.

A received instance is a folder `instances/<xx>/<key>/` with `image.dcm` (the bytes as they came, PS3.10) and
`receipt.json` (who sent it, when, over which association). The folder is filled and fsynced under `incoming/` and
renamed into place whole, so an instance is there with its receipt or not at all. The key is a keyed hash of the SOP
Instance UID: file names say nothing of the patient to anybody who has not the spool's own salt.
"""

import errno
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from cxrnode.draft import Draft, locked
from cxrnode.errors import SpoolFull, Unreadable
from cxrnode.faultpoints import Point, reached
from cxrnode.receipt import Receipt
from cxrnode.whole import at_once, begin_writing, for_its_owner, sync_folder

UID_PATTERN = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
UID_LENGTH = 64
GIB = 1024**3


class Spool:
    """The folder tree under `root`, created with mode 0700 when absent."""

    def __init__(self, root: Path, reserve_gb: float = 0.0) -> None:
        self.root = root
        self._reserve = int(reserve_gb * GIB)
        self._coming, self._counting = 0, threading.Lock()
        self._durable: set[Path] = set()
        """the folders of instances of which this process knows that their names are on the disk"""
        for name in ("incoming", "instances", "results"):
            (root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._salt = self._read_salt()

    def key_for(self, sop_instance_uid: str) -> str:
        """The name under which an instance lies: 32 hex digits.

        A UID is digits and dots (PS3.5 9.1), 64 characters at the most; anything else raises Unreadable, so no UID
        can climb out of the spool.
        """
        if len(sop_instance_uid) > UID_LENGTH or not UID_PATTERN.fullmatch(sop_instance_uid):
            raise Unreadable(
                f"SOP Instance UID (0008,0018) is {sop_instance_uid[:80]!r}; "
                "wanted digits and dots, 64 characters at the most (PS3.5 9.1)"
            )
        return hmac.new(self._salt, sop_instance_uid.encode("ascii"), hashlib.sha256).hexdigest()[:32]

    def aside_key(self, key: str, sha256: str) -> str:
        """The name for other content under a UID that is taken: one name for one content."""
        return hmac.new(self._salt, f"{key} {sha256}".encode(), hashlib.sha256).hexdigest()[:32]

    def image(self, key: str) -> Path:
        """Where the bytes of the instance with this key lie."""
        return self._folder(key) / "image.dcm"

    def result(self, round_key: str, name: str) -> Path:
        """Where the bytes of one result object of a round lie."""
        return self.root / "results" / round_key[:2] / round_key / f"{name}.dcm"

    def receipt(self, key: str) -> Receipt:
        """The receipt of the instance with this key."""
        return Receipt(**json.loads((self._folder(key) / "receipt.json").read_text(encoding="utf-8")))

    def keys(self) -> Iterator[str]:
        """The keys of all instances on the disk, kept-aside ones included."""
        for _, keys in self.shards():
            yield from keys

    def shards(self) -> Iterator[tuple[str, set[str]]]:
        """The same in parts: the beginning that keys have in common, and the keys."""
        for shard in list((self.root / "instances").iterdir()):  # listed at once: nothing is open between two parts
            if keys := {entry.name for entry in os.scandir(shard)}:
                yield shard.name, keys

    def count(self) -> int:
        """How many instances are on the disk; no folder of them is listed where the file system counts for us."""
        shards = list((self.root / "instances").iterdir())
        counts = _subfolders(self.root / "instances") == len(shards)  # some answer with a number that means nothing
        numbers = [_subfolders(shard) if counts else -1 for shard in shards]
        return sum(n if n >= 0 else len(list(one.iterdir())) for one, n in zip(shards, numbers, strict=True))

    def require_room(self, size: int = 0) -> None:
        """Raise SpoolFull when writing `size` bytes would leave less than the reserve."""
        free = shutil.disk_usage(self.root).free
        if free - size < self._reserve:
            raise SpoolFull(
                f"{free / GIB:.2f} GB free under the spool; wanted {self._reserve / GIB:.2f} GB besides this instance "
                "(receiving.reserve_gb)"
            )

    def lay_out(self) -> None:
        """Make the folders that instances lie in, durably, so that no image waits for its own.

        On a full disk they are made as they are wanted.
        """
        instances = self.root / "instances"
        shards = [instances / f"{number:02x}" for number in range(256)]
        with suppress(OSError):
            for shard in shards:
                shard.mkdir(mode=0o700, exist_ok=True)
            sync_folder(instances)
            self._durable.update(shards)

    def draft(self) -> Draft:
        """Room for an instance that comes in pieces; close it whatever becomes of it. Raises OSError."""
        return Draft(self.root / "incoming", self.room_for)

    def store(self, content: bytes | Draft, receipt: Receipt) -> bool:
        """Make an instance durable: True when it is new, False when the key was taken (nothing is changed then).

        On return the bytes, the receipt, and the folders they lie in are fsynced. Raises SpoolFull, OSError.
        """
        folder = self._folder(receipt.key)
        with self._drafted(content) as draft:
            shard = folder.parent
            if shard in self._durable:
                draft.seal(json.dumps(vars(receipt)).encode())
            else:  # whoever made it may have been killed before its name was on the disk, or be about to put it there
                shard.mkdir(mode=0o700, exist_ok=True)
                draft.seal(json.dumps(vars(receipt)).encode(), shard.parent)
                self._durable.add(shard)
            reached(Point.BEFORE_RENAME)
            return self._place(draft.folder, folder)

    def restore(self, content: bytes | Draft, receipt: Receipt) -> None:
        """Write the bytes of an instance that was purged, durably, and their receipt. Raises SpoolFull, OSError.

        The receipt is in its place first: a crash in between leaves an instance whose bytes are still gone.
        """
        there = self._folder(receipt.key)
        with self._drafted(content) as draft:
            draft.seal(json.dumps(vars(receipt)).encode())
            for name in ("receipt.json", "image.dcm"):
                (draft.folder / name).rename(there / name)
                sync_folder(there)

    def keep_result(self, round_key: str, name: str, content: bytes) -> Path:
        """Write one result object's bytes durably and return where; as `keep_results` does."""
        self.keep_results(round_key, {name: content})
        return self.result(round_key, name)

    def keep_results(self, round_key: str, contents: Mapping[str, bytes]) -> None:
        """Write the bytes of a round's results durably, by name; written again, the same name is replaced whole.

        Raises SpoolFull when they do not fit on the disk: results may use the reserve. No name has half of its bytes
        then, nor is a draft left.
        """
        if not contents:
            return
        folder = self.result(round_key, "").parent
        drafts = {name: folder / f"{name}.{secrets.token_hex(4)}.draft" for name in contents}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably({draft: contents[name] for name, draft in drafts.items()})
            for name, draft in drafts.items():
                draft.rename(self.result(round_key, name))
        except OSError as error:
            for draft in drafts.values():
                draft.unlink(missing_ok=True)
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                size = sum(map(len, contents.values()))
                raise SpoolFull(f"the disk is full: no room for a result of {size} bytes") from error
            raise
        sync_folder(folder)

    def purge_image(self, key: str) -> None:
        """Remove an instance's bytes; its receipt stays, so that a copy that comes again is known for one."""
        self.image(key).unlink(missing_ok=True)

    def purge_results(self, round_key: str) -> None:
        """Remove the bytes of all results of a round."""
        shutil.rmtree(self.result(round_key, "").parent, ignore_errors=True)

    def erase(self, key: str) -> None:
        """Remove an instance and its receipt; nothing where it is not there. Raises OSError: again, then.

        It is gone at once, so that nothing that comes just now is taken for a copy of what is being removed.
        """
        folder, going = self._folder(key), self.root / "incoming" / f"erased-{key}"
        if going.exists():  # what was cut off
            shutil.rmtree(going)
        if folder.exists():
            with locked(folder):  # a receiver that starts clears what nobody holds
                folder.rename(going)
                sync_folder(folder.parent)
                shutil.rmtree(going)

    def clear_incoming(self) -> int:
        """Remove what a crash left half written (never acknowledged); the number of removed folders.

        What another receiver on this spool is writing just now stays: it holds its folder's lock.
        """
        cleared = 0
        for folder in list((self.root / "incoming").iterdir()):
            with suppress(BlockingIOError, FileNotFoundError), locked(folder):
                shutil.rmtree(folder, ignore_errors=True)
                cleared += 1
        return cleared

    @contextmanager
    def room_for(self, size: int) -> Iterator[None]:
        """Room for bytes beside the others that are being written just now. Raises SpoolFull."""
        with self._counting:
            self.require_room(self._coming + size)
            self._coming += size
        try:
            yield
        finally:
            with self._counting:
                self._coming -= size

    @contextmanager
    def _drafted(self, content: bytes | Draft) -> Iterator[Draft]:
        """The draft that was handed in, whose owner closes it; or one of these bytes, gone afterwards."""
        if isinstance(content, Draft):
            yield content
            return
        with closing(self.draft()) as draft:
            draft.write(content)
            yield draft

    def _folder(self, key: str) -> Path:
        return self.root / "instances" / key[:2] / key

    def _place(self, incoming: Path, folder: Path) -> bool:
        try:
            incoming.rename(folder)
            new = True
        except OSError:
            if not folder.exists():
                raise
            new = False
        sync_folder(folder.parent)  # also for a duplicate: the first copy's rename may not be durable yet
        return new

    def _read_salt(self) -> bytes:
        path = self.root / "salt"
        if not path.exists():
            draft = self.root / f"salt.{secrets.token_hex(4)}"
            write_durably({draft: secrets.token_bytes(32)})
            try:
                os.link(draft, path)  # fails when another process was first: its salt is the one
                sync_folder(self.root)
            except FileExistsError:
                pass
            draft.unlink()
        return path.read_bytes()


def write_durably(contents: Mapping[Path, bytes]) -> None:
    """Write new files with mode 0600 and fsync them, all at once."""
    with ExitStack() as opened:
        files = [opened.enter_context(open(path, "wb", opener=for_its_owner)) for path in contents]
        for file, content in zip(files, contents.values(), strict=True):
            file.write(content)
            file.flush()
            begin_writing(file.fileno(), 0, len(content))
        at_once(*(partial(os.fsync, file.fileno()) for file in files))


def _subfolders(folder: Path) -> int:
    """How many folders are in a folder by its count of links, each having one (`..`); negative where that is not kept.

    ext4 keeps it up to 64,998 folders, tmpfs and XFS beyond; btrfs does not, nor does overlayfs where it merges.
    """
    return folder.stat().st_nlink - 2
