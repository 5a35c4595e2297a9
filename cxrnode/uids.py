"""Result UIDs by role, derived from content: never one UID for two contents."""

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a result UID stands for."""

    REPORT = "report"
    REPORT_SERIES = "report series"
    OVERLAY = "overlay"
    OVERLAY_SERIES = "overlay series"
    TRACKING = "tracking"
    PRESENTATION = "presentation"
    PRESENTATION_SERIES = "presentation series"
    SEGMENTATION = "segmentation"
    SEGMENTATION_SERIES = "segmentation series"
    MAP = "map"
    MAP_SERIES = "map series"
    KEY_OBJECTS = "key objects"
    KEY_OBJECTS_SERIES = "key objects series"
    REJECTION = "rejection"
    REJECTION_SERIES = "rejection series"


@dataclass(frozen=True)
class RoundIdentity:
    """Everything that decides the content of a round's results; change one part and every UID is another."""

    node: str
    study_instance_uid: str
    round_number: int
    sources: tuple[str, ...]
    """sha256 of each source instance, sorted"""
    card: str
    """digest of the model card"""
    software: str
    settings: str
    """digest of the settings that shape results"""
    started_at: str
    """when this round's analysis was begun, UTC, ISO 8601: it is written into the objects"""

    def uid(self, role: Role, part: str = "") -> str:
        """The UID of this round's `role` object, `part` telling several apart (the source's UID, say)."""
        return uid_from({"identity": asdict(self), "role": role.value, "part": part})


def uid_from(content: object) -> str:
    """A UID under the 2.25 root (PS3.5 B.2) from the SHA-256 of `content`'s canonical JSON, as a version 8 UUID."""
    raw = bytearray(bytes.fromhex(digest_of(content))[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    return f"2.25.{uuid.UUID(bytes=bytes(raw)).int}"


def digest_of(content: object) -> str:
    """sha256 (hex) of `content`'s canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
