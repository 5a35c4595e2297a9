"""An audit message as values, and as the one line of XML that the DICOM schema wants (PS3.15 A.5.1)."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from xml.etree import ElementTree as ET

NOT_TEXT = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no character for, and what would end a line: a header may hold anything."""
SUCCESS, MINOR_FAILURE = 0, 4
"""EventOutcomeIndicator."""


@dataclass(frozen=True)
class Code:
    """A coded value."""

    value: str
    scheme: str
    meaning: str


def dcm(value: str, meaning: str) -> Code:
    """A code of DICOM's own (PS3.16 Annex D)."""
    return Code(value, "DCM", meaning)


@dataclass(frozen=True)
class Participant:
    """A person, process or medium that took part: `address` is an IP address or a host's name, where it is known.

    `media` is of what kind it is, where it is one.
    """

    user_id: str
    alternative_id: str = ""
    name: str = ""
    requestor: bool = False
    role: Code | None = None
    address: str = ""
    media: Code | None = None


@dataclass(frozen=True)
class Subject:
    """What an event is about, by an identifier of a kind; it has a name, or is a query (the bytes of its data set).

    `type_code` and `role` are ParticipantObjectTypeCode and ParticipantObjectTypeCodeRole; `instances` counts by SOP
    Class UID.
    """

    identifier: str
    kind: Code
    type_code: int
    role: int
    name: str = ""
    query: bytes | None = None
    details: Mapping[str, bytes] = field(default_factory=dict)
    instances: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """One event; `action` is C, R, U, D or E, `reason` says why it failed, `source` is the node's name."""

    event: Code
    action: str
    at: datetime
    source: str
    participants: tuple[Participant, ...]
    subjects: tuple[Subject, ...] = ()
    types: tuple[Code, ...] = ()
    outcome: int = SUCCESS
    reason: str = ""


def as_line(message: Message) -> bytes:
    """The message in UTF-8, on one line, without the end of the line."""
    root = ET.Element("AuditMessage")
    _event(root, message)
    for participant in message.participants:
        _participant(root, participant)
    source = _add(root, "AuditSourceIdentification", AuditSourceID=message.source)
    _add(source, "AuditSourceTypeCode", **{"csd-code": "4"})  # an application server's process
    for subject in message.subjects:
        _subject(root, subject)
    line: bytes = ET.tostring(root, encoding="utf-8")
    return line


def as_text(value: str) -> str:
    """The value without what XML has no character for."""
    return NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", value)


def _event(root: ET.Element, message: Message) -> None:
    at = message.at.astimezone(UTC).isoformat(timespec="milliseconds")
    event = _add(
        root,
        "EventIdentification",
        EventActionCode=message.action,
        EventDateTime=at,
        EventOutcomeIndicator=str(message.outcome),
    )
    _coded(event, "EventID", message.event)
    for code in message.types:
        _coded(event, "EventTypeCode", code)
    if message.reason:
        _add(event, "EventOutcomeDescription").text = as_text(message.reason)


def _participant(root: ET.Element, participant: Participant) -> None:
    told = {"UserID": participant.user_id or "unknown", "UserIsRequestor": str(participant.requestor).lower()}
    told |= {"AlternativeUserID": participant.alternative_id} if participant.alternative_id else {}
    told |= {"UserName": participant.name} if participant.name else {}
    if participant.address:
        kind = "2" if _is_ip(participant.address) else "1"
        told |= {"NetworkAccessPointID": participant.address, "NetworkAccessPointTypeCode": kind}
    element = _add(root, "ActiveParticipant", **told)
    if participant.role is not None:
        _coded(element, "RoleIDCode", participant.role)
    if participant.media is not None:
        _coded(_add(element, "MediaIdentifier"), "MediaType", participant.media)


def _subject(root: ET.Element, subject: Subject) -> None:
    element = _add(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=subject.identifier or "unknown",
        ParticipantObjectTypeCode=str(subject.type_code),
        ParticipantObjectTypeCodeRole=str(subject.role),
    )
    _coded(element, "ParticipantObjectIDTypeCode", subject.kind)
    if subject.query is not None:
        _add(element, "ParticipantObjectQuery").text = _base64(subject.query)
    else:
        _add(element, "ParticipantObjectName").text = as_text(subject.name or "unknown")
    for kind, value in subject.details.items():
        _add(element, "ParticipantObjectDetail", type=kind, value=_base64(value))
    if subject.instances:
        description = _add(element, "ParticipantObjectDescription")
        for uid, count in sorted(subject.instances.items()):
            _add(description, "SOPClass", UID=uid, NumberOfInstances=str(count))


def _coded(parent: ET.Element, name: str, code: Code) -> None:
    _add(parent, name, **{"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning})


def _add(parent: ET.Element, name: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, name, {key: as_text(value) for key, value in attributes.items()})


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _is_ip(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True
