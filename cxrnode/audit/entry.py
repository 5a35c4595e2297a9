"""A line of the trail read back: when, what, by whom, to whom and about whom; whoever wrote it."""

from dataclasses import dataclass
from xml.etree import ElementTree as ET


@dataclass(frozen=True)
class Entry:
    """One message in short; what it does not say is empty."""

    at: str
    event: str
    outcome: str
    """"0" for success (PS3.15 A.5.1)"""
    reason: str
    by: str
    """the requestor, else the process that wrote it"""
    participants: tuple[str, ...]
    """all who took part, by UserID, AE title or name"""
    study: str
    study_key: str
    """where the message has it: what logs and Flower call the study"""
    patient: str
    instances: int


def entry_of(line: bytes) -> Entry | None:
    """The message of a line; None where it is torn, or no message."""
    try:
        root = ET.fromstring(line)  # noqa: S314  our own file, and expat of today expands no bombs
    except ET.ParseError:
        return None
    event = root.find("EventIdentification")
    if event is None:
        return None
    parts = root.findall("ActiveParticipant")
    asked = next((one for one in parts if one.get("UserIsRequestor") == "true"), parts[0] if parts else event)
    meanings = [code.get("originalText", "") for code in event if code.tag in {"EventID", "EventTypeCode"}]
    names = [value for one in parts for key in ("UserID", "AlternativeUserID", "UserName") if (value := one.get(key))]
    return Entry(
        at=event.get("EventDateTime", ""),
        event=meanings[-1] if meanings else "",
        outcome=event.get("EventOutcomeIndicator", ""),
        reason=event.findtext("EventOutcomeDescription") or "",
        by=_named(asked),
        participants=tuple(names),
        study=_subject(root, "110180")[0],
        study_key=_subject(root, "110180")[1],
        patient=_subject(root, "2")[0],
        instances=sum(int(one.get("NumberOfInstances", "0")) for one in root.iter("SOPClass")),
    )


def _named(participant: ET.Element) -> str:
    """A process by its name, as its UserID is a number; anybody else by UserID."""
    user = participant.get("UserID", "")
    return participant.get("UserName", user) if user.isdigit() else user


def _subject(root: ET.Element, kind: str) -> tuple[str, str]:
    """The identifier and the name of what has an identifier of this kind."""
    for one in root.findall("ParticipantObjectIdentification"):
        code = one.find("ParticipantObjectIDTypeCode")
        if code is not None and code.get("csd-code") == kind:
            return one.get("ParticipantObjectID", ""), one.findtext("ParticipantObjectName") or ""
    return "", ""
