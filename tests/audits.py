"""The audit trail as its readers see it: each line held against the standard's schema and taken apart."""

import base64
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lxml import etree
from rnc2rng import dumps, loads

SCHEMA = Path(__file__).with_name("audit-message.rnc")
STUDY, PATIENT, SOP_CLASS = "110180", "2", "110181"


@dataclass(frozen=True)
class Told:
    """One message, read back."""

    root: etree._Element

    @property
    def event(self) -> str:
        """The meaning of its EventID, and of its type where it has one."""
        told = self.root.xpath("EventIdentification/EventID/@originalText | //EventTypeCode/@originalText")
        return ", ".join(told)

    @property
    def action(self) -> str:
        return self.root.xpath("string(EventIdentification/@EventActionCode)")

    @property
    def outcome(self) -> str:
        return self.root.xpath("string(EventIdentification/@EventOutcomeIndicator)")

    @property
    def reason(self) -> str:
        return self.root.xpath("string(EventIdentification/EventOutcomeDescription)")

    @property
    def at(self) -> str:
        return self.root.xpath("string(EventIdentification/@EventDateTime)")

    @property
    def requestor(self) -> str:
        """Who asked for it, by UserID."""
        return self.root.xpath("string(ActiveParticipant[@UserIsRequestor='true']/@UserID)")

    def in_role(self, role: str) -> str:
        """The UserID of whoever has this role."""
        return self.root.xpath("string(ActiveParticipant[RoleIDCode/@csd-code=$role]/@UserID)", role=role)

    def subject(self, kind: str) -> str:
        """The identifier of what it is about, by the kind of identifier."""
        chosen = "ParticipantObjectIdentification[ParticipantObjectIDTypeCode/@csd-code=$kind]"
        return self.root.xpath(f"string({chosen}/@ParticipantObjectID)", kind=kind)

    @property
    def patient_name(self) -> str:
        chosen = "ParticipantObjectIdentification[@ParticipantObjectTypeCodeRole='1']/ParticipantObjectName"
        return self.root.xpath(f"string({chosen})")

    @property
    def counts(self) -> dict[str, int]:
        """Instances by SOP Class UID."""
        return {one.get("UID"): int(one.get("NumberOfInstances")) for one in self.root.iter("SOPClass")}

    @property
    def query(self) -> bytes:
        return base64.b64decode(self.root.findtext(".//ParticipantObjectQuery") or "")


def told(folder: Path) -> list[Told]:
    """Every message of a trail, in order; fails for one that the schema does not allow."""
    lines = [line for file in sorted(folder.glob("*.xml")) for line in file.read_bytes().splitlines()]
    return [checked(line) for line in lines]


def checked(line: bytes) -> Told:
    """One message. Fails where the schema does not allow it."""
    root = etree.fromstring(line)
    schema().assertValid(root)
    return Told(root)


@cache
def schema() -> etree.RelaxNG:
    """The schema of the standard, as libxml2 takes it."""
    return etree.RelaxNG(etree.fromstring(dumps(loads(SCHEMA.read_text(encoding="utf-8"))).encode()))
