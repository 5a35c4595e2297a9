"""Studies of an archive: sent to the node's receiver (C-MOVE), or to this process (C-GET, DICOMweb)."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cxrnode.errors import PeerRefused, PeerUnavailable, Unreadable
from cxrnode.peers.calling import VERIFICATION_CONTEXT, associate
from cxrnode.peers.retrieve import Retrieved, get, move
from cxrnode.plans.plan import Entry
from cxrnode.receipt import Receipt
from cxrnode.receiving.intake import keep, receipt_of
from cxrnode.replay.source import Fetched
from cxrnode.settings import Node, Receiving
from cxrnode.settings.archive import Archive
from cxrnode.spool import Spool

STORED, DOES_NOT_MATCH, CANNOT_UNDERSTAND = 0x0000, 0xA900, 0xC000


@dataclass(frozen=True)
class FromArchive:
    """A PACS, which sends to the receiver of the node (C-MOVE), or answers this process (C-GET, DICOMweb)."""

    archive: Archive
    spool: Spool
    replay: str
    node: Node
    receiving: Receiving

    @property
    def sender(self) -> str:
        """The archive's AE title, where it is asked by C-MOVE."""
        return self.archive.ae_title or "" if self.archive.retrieve == "move" else ""

    def fetch(self, entry: Entry, kept: list[Receipt]) -> Fetched:
        """One retrieval of a whole study."""
        if self.archive.retrieve == "move":
            return self._moved(entry)
        take = self._take(entry.study, kept)
        if self.archive.retrieve == "get":
            return self._fetched(get(self.archive, self.node.ae_title, entry.study, take))
        from cxrnode.peers.web import get_study  # its library is slow to import

        return self._fetched(get_study(self.archive, entry.study, take))

    def _moved(self, entry: Entry) -> Fetched:
        self.spool.require_room()  # the receiver would refuse each image, and the archive be blamed for it
        try:
            retrieved = move(self.archive, self.node.ae_title, self.node.ae_title, entry.study)
        except PeerRefused:
            self.spool.require_room()
            if self._receiver_listens():
                raise
            raise PeerUnavailable(self._deaf) from None
        fetched = self._fetched(retrieved)
        if fetched.failed:
            self.spool.require_room()
            if not self._receiver_listens():
                raise PeerUnavailable(self._deaf)
        fetched.to_receiver = True
        return fetched

    def answers(self) -> bool:
        """Whether it takes an association, or its web service answers."""
        if self.archive.retrieve == "web":
            from cxrnode.peers.web import answers

            return answers(self.archive)
        if self.archive.retrieve == "move" and not self._receiver_listens():
            return False
        try:
            associate(self.archive.peer, self.node.ae_title, {VERIFICATION_CONTEXT}).release()
        except PeerUnavailable:
            return False
        return True

    def _take(self, study_instance_uid: str, kept: list[Receipt]) -> Callable[[bytes], int]:
        sender = self.archive.ae_title or self.archive.name[:16].upper()

        def take(content: bytes) -> int:
            try:
                receipt = receipt_of(self.spool, content, sender, self.replay, datetime.now(UTC))
            except Unreadable:
                return CANNOT_UNDERSTAND
            if receipt.study_instance_uid != study_instance_uid:
                return DOES_NOT_MATCH
            kept.append(keep(self.spool, content, receipt))
            return STORED

        return take

    def _fetched(self, retrieved: Retrieved) -> Fetched:
        sent, failed = retrieved.completed, retrieved.failed
        if sent or failed:
            return Fetched(sent, failed, retrieved.reason)
        return Fetched(absent=True, reason=f"{self.archive.name} has no such study.")

    def _receiver_listens(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.receiving.host, self.receiving.host)  # noqa: S104  its own
        try:
            socket.create_connection((host, self.receiving.port), timeout=5).close()
        except OSError:
            return False
        return True

    @property
    def _deaf(self) -> str:
        where = f"{self.receiving.host}:{self.receiving.port}"
        return f"{self.archive.name} could not send here: no receiver of this node listens on {where}"
