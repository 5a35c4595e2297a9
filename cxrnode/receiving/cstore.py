"""C-STORE as bytes: the command that asks for it, its answer, and the beginning of the file that comes of it.

pynetdicom makes some dozens of objects for each; a receiver of small images would spend most of its time on them.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from cxrnode.errors import Unreadable

PDU_HEAD, PDV_HEAD = struct.Struct(">BxL"), struct.Struct(">LBB")
"""PS3.8 9.3.1 and 9.3.5.1"""
P_DATA = 0x04
COMMAND, LAST = 1, 2
"""The bits of a message control header (PS3.8 E.2)."""
C_STORE_RQ, C_STORE_RSP, NO_DATA_SET = 0x0001, 0x8001, 0x0101
UID_LENGTH = 64

SOP_CLASS, FIELD, MESSAGE_ID, ANSWERED_ID, PRIORITY = 0x0002, 0x0100, 0x0110, 0x0120, 0x0700
DATA_SET_TYPE, STATUS, COMMENT, SOP_INSTANCE, MOVE_ORIGINATOR = 0x0800, 0x0900, 0x0902, 0x1000, 0x1030
"""Elements of group 0000 (PS3.7 E.1)."""


@dataclass(frozen=True)
class Request:
    """A C-STORE-RQ (PS3.7 9.3.1.1)."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_data_set: bool
    move_originator: str


def field(command: bytes) -> int:
    """The Command Field (0000,0100) of a command set, 0 when it has none."""
    return _number(_elements(command).get(FIELD, b""))


def request(command: bytes) -> Request:
    """What a C-STORE-RQ says. Raises Unreadable for one without what PS3.7 Table 9.3-1 demands."""
    found = _elements(command)
    sop_class, sop_instance = _text(found.get(SOP_CLASS, b"")), _text(found.get(SOP_INSTANCE, b""))
    if not (0 < len(sop_class) <= UID_LENGTH and 0 < len(sop_instance) <= UID_LENGTH):
        raise Unreadable("A C-STORE-RQ without a SOP class or instance; wanted UIDs of 64 characters at the most")
    if len(found.get(MESSAGE_ID, b"")) != 2 or len(found.get(PRIORITY, b"")) != 2:
        raise Unreadable("A C-STORE-RQ without Message ID (0000,0110) or Priority (0000,0700); wanted both")
    has_data_set = _number(found.get(DATA_SET_TYPE, b"")) != NO_DATA_SET
    message_id = _number(found[MESSAGE_ID])
    return Request(message_id, sop_class, sop_instance, has_data_set, _text(found.get(MOVE_ORIGINATOR, b"")))


def response(asked: Request, context_id: int, status: int, comment: str, largest: int) -> bytes:
    """The PDUs of the C-STORE-RSP, none longer than the peer takes (0: any length)."""
    elements = [
        (SOP_CLASS, _padded(asked.sop_class_uid, b"\0")),
        (FIELD, struct.pack("<H", C_STORE_RSP)),
        (ANSWERED_ID, struct.pack("<H", asked.message_id)),
        (DATA_SET_TYPE, struct.pack("<H", NO_DATA_SET)),
        (STATUS, struct.pack("<H", status)),
        *([(COMMENT, _padded(comment, b" "))] if comment else []),
        (SOP_INSTANCE, _padded(asked.sop_instance_uid, b"\0")),
    ]
    body = b"".join(struct.pack("<HHL", 0, tag, len(value)) + value for tag, value in elements)
    return b"".join(_pdus(struct.pack("<HHLL", 0, 0, 4, len(body)) + body, context_id, largest))


def file_head(asked: Request, transfer_syntax_uid: str, maker: str, version: str) -> bytes:
    """Preamble, prefix and file meta information (PS3.10 7.1) of an instance, up to its data set."""
    uids = (
        (0x02, asked.sop_class_uid),
        (0x03, asked.sop_instance_uid),
        (0x10, transfer_syntax_uid),
        (0x12, maker),
    )
    meta = struct.pack("<HH2sHL2s", 2, 1, b"OB", 0, 2, b"\0\1")
    for element, uid in uids:
        value = _padded(uid, b"\0")
        meta += struct.pack("<HH2sH", 2, element, b"UI", len(value)) + value
    name = _padded(version, b" ")
    meta += struct.pack("<HH2sH", 2, 0x13, b"SH", len(name)) + name
    return bytes(128) + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(meta)) + meta


def pdvs(pdu: memoryview) -> Iterator[tuple[int, int, memoryview, int]]:
    """Context, control header and fragment of each PDV in a P-DATA-TF PDU, and where it ends there (PS3.8 9.3.5).

    Raises Unreadable, struct.error for one that does not fit.
    """
    at = PDU_HEAD.size
    while at < len(pdu):
        length, context_id, control = PDV_HEAD.unpack_from(pdu, at)
        end = at + 4 + length
        if length < 2 or end > len(pdu):
            raise Unreadable(f"a PDV of {length} bytes in a PDU of {len(pdu)}; wanted one that fits")
        yield context_id, control, pdu[at + PDV_HEAD.size : end], end
        at = end


def pdu_of(pdvs: memoryview | bytes) -> bytes:
    """A P-DATA-TF PDU of these."""
    return PDU_HEAD.pack(P_DATA, len(pdvs)) + pdvs


def _elements(command: bytes) -> dict[int, bytes]:
    """The elements of group 0000, Implicit VR Little Endian (PS3.7 6.3.1). Raises Unreadable."""
    found, at = {}, 0
    while at < len(command):
        if at + 8 > len(command):
            raise Unreadable("A command set ends within an element; wanted whole ones")
        group, element, length = struct.unpack_from("<HHL", command, at)
        value = command[at + 8 : at + 8 + length]
        if group or len(value) != length:
            raise Unreadable("A command set with an element of another group or length; wanted group 0000")
        found[element] = value
        at += 8 + length
    return found


def _pdus(command: bytes, context_id: int, largest: int) -> Iterator[bytes]:
    room = max(largest - PDV_HEAD.size, 1) if largest else len(command)
    for at in range(0, len(command), room):
        piece = command[at : at + room]
        control = COMMAND | (LAST if at + room >= len(command) else 0)
        pdv = PDV_HEAD.pack(len(piece) + 2, context_id, control) + piece
        yield pdu_of(pdv)


def _number(value: bytes) -> int:
    return int.from_bytes(value[:2], "little")


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip("\0 ")


def _padded(value: str, padding: bytes) -> bytes:
    encoded = value.encode("ascii", "replace")
    return encoded + padding * (len(encoded) % 2)
