"""PDUs and DIMSE commands written by hand, right ones and wrong ones, and a peer that sends them as they are.

PS3.8 9.3 (PDUs), PS3.7 6.3 and 9.3.1 (command sets).
"""

import io
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.dsutils import decode, encode

from tests.builders import DX_PRESENTATION

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
C_STORE_RQ, C_ECHO_RQ = 0x0001, 0x0030
NO_DATA_SET = 0x0101
COMMAND, LAST = 1, 2
"""The bits of a PDV's message control header (PS3.8 E.2)."""


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """One PDU; `length` None is the true one."""
    return struct.pack(">BxL", kind, len(body) if length is None else length) + body


def item(kind: int, body: bytes, length: int | None = None) -> bytes:
    """One item of an association PDU."""
    return struct.pack(">BxH", kind, len(body) if length is None else length) + body


def context(number: int, abstract: str, transfer: str) -> bytes:
    """One proposed presentation context."""
    return item(0x20, bytes([number, 0, 0, 0]) + item(0x30, abstract.encode()) + item(0x40, transfer.encode()))


CONTEXTS = (context(1, DX_PRESENTATION, ExplicitVRLittleEndian), context(3, VERIFICATION, ExplicitVRLittleEndian))
RELEASE, ABORTED = pdu(RELEASE_RQ, bytes(4)), pdu(ABORT, bytes(4))


def associate(calling: str = "MODALITY", called: str = "CXRNODE", contexts: Sequence[bytes] = CONTEXTS) -> bytes:
    """An A-ASSOCIATE-RQ for DX in Explicit VR Little Endian under context 1, and Verification under 3."""
    user = item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3"))
    titles = called.encode().ljust(16) + calling.encode().ljust(16)
    body = b"\0\1\0\0" + titles + bytes(32) + item(0x10, APPLICATION_CONTEXT) + b"".join(contexts) + user
    return pdu(ASSOCIATE_RQ, body)


def pdv(number: int, control: int, content: bytes, length: int | None = None) -> bytes:
    """One presentation data value."""
    return struct.pack(">LBB", len(content) + 2 if length is None else length, number, control) + content


def message(command: bytes, content: bytes = b"", number: int = 1) -> bytes:
    """A whole DIMSE message: the command in one P-DATA, the data set in another."""
    sent = pdu(DATA, pdv(number, COMMAND | LAST, command))
    return sent + pdu(DATA, pdv(number, LAST, content)) if content else sent


def command(field: int, **elements: object) -> bytes:
    """A command set with its group length."""
    dataset = Dataset()
    dataset.CommandField = field
    dataset.MessageID = 7
    dataset.CommandDataSetType = NO_DATA_SET
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    body = encode(dataset, is_implicit_vr=True, is_little_endian=True)
    assert body is not None
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def store_command(sop_class: str, sop_instance: str, data_set_type: int = 1) -> bytes:
    """The command set of a C-STORE-RQ."""
    uids = {"AffectedSOPClassUID": sop_class, "AffectedSOPInstanceUID": sop_instance}
    return command(C_STORE_RQ, Priority=2, **uids, CommandDataSetType=data_set_type)


def encoded(instance: Dataset) -> bytes:
    """A data set as it travels, Explicit VR Little Endian."""
    bare = encode(instance, is_implicit_vr=False, is_little_endian=True)
    assert bare is not None
    return bare


def store(instance: Dataset) -> bytes:
    """A C-STORE of this instance under context 1."""
    return message(store_command(instance.SOPClassUID, instance.SOPInstanceUID), encoded(instance))


@dataclass
class Peer:
    """A TCP connection to the receiver that sends whatever it is told."""

    port: int
    patience_s: float = 10.0

    def __enter__(self) -> Self:
        self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=self.patience_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, *sent: bytes) -> "Peer":
        """Send bytes; that the other side has hung up already is no fault."""
        with suppress(OSError):
            for one in sent:
                self._socket.sendall(one)
        return self

    def ask(self, sent: bytes, patience_s: float | None = None) -> tuple[int, bytes]:
        """Send, and wait for one PDU; type 0 when none comes within the patience."""
        self.send(sent)
        self._socket.settimeout(patience_s or self.patience_s)
        try:
            return self.receive()
        except TimeoutError:
            return 0, b""
        finally:
            self._socket.settimeout(self.patience_s)

    def until_silent(self, patience_s: float) -> list[tuple[int, bytes]]:
        """All that comes until the connection ends, or nothing comes for so long."""
        came: list[tuple[int, bytes]] = []
        self._socket.settimeout(patience_s)
        with suppress(TimeoutError):
            came.extend(iter(self.receive, (0, b"")))
        self._socket.settimeout(self.patience_s)
        return came

    def finish(self) -> "Peer":
        """No more bytes will come from here."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        return self

    def receive(self) -> tuple[int, bytes]:
        """The next PDU, its type and its body; type 0 when the connection has ended, TimeoutError when none comes."""
        head = self._exactly(6)
        if len(head) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxL", head)
        return kind, self._exactly(length)

    def rest(self) -> list[tuple[int, bytes]]:
        """All that comes until the connection ends. Raises TimeoutError when it does not."""
        return list(iter(self.receive, (0, b"")))

    def _exactly(self, size: int) -> bytes:
        got = b""
        try:
            while len(got) < size and (more := self._socket.recv(size - len(got))):
                got += more
        except ConnectionError:
            return b""
        return got


def statuses(answers: Sequence[tuple[int, bytes]]) -> list[int]:
    """The Status of every DIMSE response among PDUs."""
    found = []
    for kind, body in answers:
        if kind == DATA:
            answer = decode(io.BytesIO(body[6:]), is_implicit_vr=True, is_little_endian=True)
            found.append(int(answer.Status))
    return found
