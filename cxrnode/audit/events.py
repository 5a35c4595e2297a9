"""The events of this node, each as DICOM PS3.15 A.5.3 wants its message: who took part, and what it was about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cxrnode.audit.message import MINOR_FAILURE, SUCCESS, Code, Message, Participant, Subject, dcm

START, STOP = dcm("110120", "Application Start"), dcm("110121", "Application Stop")
APPLICATION, LAUNCHER = dcm("110150", "Application"), dcm("110151", "Application Launcher")
SOURCE, DESTINATION = dcm("110153", "Source Role ID"), dcm("110152", "Destination Role ID")
TO_MEDIA, FROM_MEDIA = dcm("110154", "Destination Media"), dcm("110155", "Source Media")
A_URI = dcm("110037", "URI")
NODE_AUTHENTICATION = dcm("110126", "Node Authentication")
STUDY, SOP_CLASS, NODE_ID = (
    dcm("110180", "Study Instance UID"),
    dcm("110181", "SOP Class UID"),
    dcm("110182", "Node ID"),
)
PATIENT_NUMBER, URI = Code("2", "RFC-3881", "Patient Number"), Code("12", "RFC-3881", "URI")
PERSON, SYSTEM = 1, 2
"""ParticipantObjectTypeCode."""
PATIENT, REPORT, SECURITY_RESOURCE, QUERY = 1, 3, 13, 24
"""ParticipantObjectTypeCodeRole."""


@dataclass(frozen=True)
class About:
    """A study and its patient, as its first image tells them; `key` is the study's random key in logs and Flower."""

    study_instance_uid: str
    patient_id: str = ""
    patient_name: str = ""
    key: str = ""


@dataclass(frozen=True)
class Question:
    """What a PACS is asked: of a SOP class, a data set in a transfer syntax; of an address, what stands behind it."""

    identifier: str
    encoded: bytes
    syntax: str = ""


@dataclass(frozen=True)
class Here:
    """This process: which node's, under which name, and when asked."""

    source: str
    me: Participant


def application(here: Here, at: datetime, by: Participant, *, start: bool) -> Message:
    """A process of the node starts or stops (A.5.3.1)."""
    parts = (_in_role(here.me, APPLICATION), _in_role(by, LAUNCHER, requestor=True))
    return Message(
        dcm("110100", "Application Activity"), "E", at, here.source, parts, types=(START if start else STOP,)
    )


def log_used(here: Here, at: datetime, by: Participant, uri: str) -> Message:
    """Somebody reads the audit trail (A.5.3.2)."""
    log = Subject(uri, URI, SYSTEM, SECURITY_RESOURCE, "Security Audit Log")
    return Message(dcm("110101", "Audit Log Used"), "R", at, here.source, (by, here.me), (log,))


def copied(here: Here, at: datetime, by: Participant, folder: str) -> Message:
    """All that the node keeps was copied into a folder, by its URI: a backup (A.5.3.4).

    Its studies are not named, of which there may be a million: whose they are the copy of the ledger says.
    """
    parts = (_in_role(by, SOURCE, requestor=True), _in_role(here.me, SOURCE), _medium(folder, TO_MEDIA))
    return Message(dcm("110106", "Export"), "R", at, here.source, parts, (_backup(folder),))


def brought_back(here: Here, at: datetime, by: Participant, folder: str) -> Message:
    """A backup became the state of the node (A.5.3.5)."""
    parts = (_in_role(by, DESTINATION, requestor=True), _in_role(here.me, DESTINATION), _medium(folder, FROM_MEDIA))
    return Message(dcm("110107", "Import"), "C", at, here.source, parts, (_backup(folder),))


def begins(here: Here, at: datetime, to: Participant, about: About, instances: Mapping[str, int]) -> Message:
    """Objects are about to be sent (A.5.3.3)."""
    parts = (_in_role(here.me, SOURCE, requestor=True), _in_role(to, DESTINATION))
    subjects = subjects_of(about, instances)
    return Message(dcm("110102", "Begin Transferring DICOM Instances"), "E", at, here.source, parts, subjects)


def sent(
    here: Here, at: datetime, to: Participant, about: About, instances: Mapping[str, int], reason: str = ""
) -> Message:
    """Objects were sent, or with a `reason` were not taken (A.5.3.7)."""
    parts = (_in_role(here.me, SOURCE, requestor=True), _in_role(to, DESTINATION))
    return _transferred(here, at, "R", parts, subjects_of(about, instances), reason)


def received(
    here: Here, at: datetime, sender: Participant, about: About, instances: Mapping[str, int], *, new: bool
) -> Message:
    """Objects came, of which some are `new`, or which all were here already (A.5.3.7)."""
    parts = (_in_role(sender, SOURCE, requestor=True), _in_role(here.me, DESTINATION))
    return _transferred(here, at, "C" if new else "R", parts, subjects_of(about, instances))


def accessed(here: Here, at: datetime, by: Participant, about: About) -> Message:
    """Somebody looks at a study or at what is known of it (A.5.3.6)."""
    return Message(dcm("110103", "DICOM Instances Accessed"), "R", at, here.source, (by, here.me), subjects_of(about))


def deleted(here: Here, at: datetime, by: Participant | None, about: About, instances: Mapping[str, int]) -> Message:
    """A study is removed, by a person or (None) by the node itself (A.5.3.8)."""
    parts = (here.me,) if by is None else (by, here.me)
    event = dcm("110105", "DICOM Study Deleted")
    return Message(event, "D", at, here.source, parts, subjects_of(about, instances))


def query(here: Here, at: datetime, asked: Participant, question: Question, by: Participant | None = None) -> Message:
    """A PACS is asked, by a person or (None) by the node itself (A.5.3.10)."""
    parts = (_in_role(here.me, SOURCE, requestor=by is None), _in_role(asked, DESTINATION), *([by] if by else []))
    details = {"TransferSyntax": question.syntax.encode("ascii")} if question.syntax else {}
    kind = SOP_CLASS if question.syntax else URI
    what = Subject(question.identifier, kind, SYSTEM, QUERY, query=question.encoded, details=details)
    return Message(dcm("110112", "Query"), "E", at, here.source, parts, (what,))


def alert(here: Here, at: datetime, peer: Participant, told: str) -> Message:
    """Somebody was not let in (A.5.3.11, Node Authentication)."""
    node = Subject(
        peer.address, NODE_ID, SYSTEM, SECURITY_RESOURCE, peer.user_id, None, {"Alert Description": told.encode()}
    )
    parts = (here.me, _in_role(peer, None, requestor=True))
    event, outcome = dcm("110113", "Security Alert"), MINOR_FAILURE
    return Message(event, "E", at, here.source, parts, (node,), (NODE_AUTHENTICATION,), outcome, told)


def application_entity(ae_title: str, address: str = "") -> Participant:
    """A DICOM application elsewhere."""
    return Participant(ae_title, f"AETITLES={ae_title}", address=address)


def subjects_of(about: About, instances: Mapping[str, int] | None = None) -> tuple[Subject, ...]:
    """The study and its patient."""
    study = Subject(about.study_instance_uid, STUDY, SYSTEM, REPORT, about.key, instances=instances or {})
    return study, Subject(about.patient_id, PATIENT_NUMBER, PERSON, PATIENT, about.patient_name)


def counted_classes(sop_class_uids: Iterable[str]) -> dict[str, int]:
    """How many of each SOP class."""
    counts: dict[str, int] = {}
    for uid in sop_class_uids:
        counts[uid] = counts.get(uid, 0) + 1
    return counts


def _transferred(
    here: Here,
    at: datetime,
    action: str,
    parts: tuple[Participant, ...],
    subjects: tuple[Subject, ...],
    reason: str = "",
) -> Message:
    outcome = MINOR_FAILURE if reason else SUCCESS
    event = dcm("110104", "DICOM Instances Transferred")
    return Message(event, action, at, here.source, parts, subjects, outcome=outcome, reason=reason)


def _backup(folder: str) -> Subject:
    return Subject(folder, URI, SYSTEM, REPORT, "Backup")


def _medium(folder: str, role: Code) -> Participant:
    return Participant(folder, role=role, media=A_URI)


def _in_role(participant: Participant, role: Code | None, *, requestor: bool = False) -> Participant:
    return Participant(
        participant.user_id,
        participant.alternative_id,
        participant.name,
        requestor,
        role,
        participant.address,
    )
