"""An instance that arrives by C-STORE: into the spool while it comes, then its status, once its bytes are durable."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from cxrnode.draft import Draft
from cxrnode.errors import SpoolFull, Unreadable
from cxrnode.faultpoints import Point, reached
from cxrnode.headers.opening import data_set_at, measure, opened, parsed
from cxrnode.headers.priority import PRIORITY, says_stat
from cxrnode.log import logger
from cxrnode.receipt import MOVED, Receipt
from cxrnode.receiving.cstore import Request, file_head
from cxrnode.receiving.intake import IDENTITY, keep, require_names
from cxrnode.results.encode import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from cxrnode.spool import UID_LENGTH, UID_PATTERN, Spool

LOG = logger("receive")
TAGS = {tag: keyword for keyword in (*IDENTITY, *PRIORITY) if (tag := tag_for_keyword(keyword)) is not None}


class StoreStatus(IntEnum):
    """C-STORE response statuses this node gives (PS3.4 Table B.2-1)."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    DOES_NOT_MATCH_SOP_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True)
class NotStored(Exception):
    """Why an instance was not taken: the status to answer and the comment beside it (0000,0902; 64 characters)."""

    status: StoreStatus
    comment: str


@dataclass(frozen=True)
class Sent:
    """Who sends it, to whom, and over which association."""

    calling_ae: str
    called_ae: str
    address: str
    association: str
    stat: bool
    """whether all from there is STAT"""


class StoreArrival:
    """One data set on its way; `note` is told the receipt after the bytes are durable."""

    def __init__(
        self, spool: Spool, note: Callable[[Receipt], None], asked: Request, transfer_syntax_uid: str, sent: Sent
    ) -> None:
        self._spool, self._note, self._asked, self._sent = spool, note, asked, sent
        self._transfer_syntax_uid = transfer_syntax_uid
        self._digest, self._size = hashlib.sha256(), 0
        self._draft: Draft | None = None
        self._fault: NotStored | None = None
        self._head = file_head(asked, transfer_syntax_uid, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME)
        try:
            self._draft = spool.draft()
            self._draft.write(self._head)
        except (SpoolFull, OSError) as error:
            self._refuse(_no_room(error))

    def write(self, pieces: Sequence[memoryview]) -> None:
        """The next bytes of it; of what does not fit, nothing is kept and the rest is only heard out."""
        self._size += sum(map(len, pieces))
        if self._draft is None:
            return
        try:
            self._draft.write(*pieces)
        except (SpoolFull, OSError) as error:
            self._refuse(_no_room(error))
        else:
            for piece in pieces:
                self._digest.update(piece)

    def finish(self) -> tuple[int, str]:
        """Keep it, durably; the status to answer, and a comment where it was not taken."""
        try:
            receipt = self._keep()
        except NotStored as refusal:
            return _told(refusal)
        except MemoryError as error:
            return _told(_no_room(error))
        except Exception as error:  # noqa: BLE001  a status must be answered whatever happens
            LOG.error("instance not taken", status="0xC000", reason=type(error).__name__)
            return StoreStatus.CANNOT_UNDERSTAND, f"Internal fault: {type(error).__name__}"
        reached(Point.BEFORE_RESPONSE)
        self._note(receipt)
        return StoreStatus.SUCCESS, ""

    def drop(self) -> None:
        """Let go of it; what was not kept is removed."""
        if self._draft is not None:
            draft, self._draft = self._draft, None
            draft.close()

    def _refuse(self, fault: NotStored) -> None:
        self._fault = fault
        self.drop()

    def _keep(self) -> Receipt:
        if self._fault is not None:
            raise self._fault
        if not self._size or self._draft is None:
            raise NotStored(StoreStatus.CANNOT_UNDERSTAND, "The request came without a data set")
        study, stat = self._identity(self._draft)
        try:
            key = self._spool.key_for(self._asked.sop_instance_uid)
        except Unreadable:
            raise NotStored(StoreStatus.DOES_NOT_MATCH_SOP_CLASS, "SOP Instance UID (0008,0018) is not a UID") from None
        receipt = Receipt(
            key=key,
            sop_instance_uid=self._asked.sop_instance_uid,
            sop_class_uid=self._asked.sop_class_uid,
            study_instance_uid=study,
            transfer_syntax_uid=self._transfer_syntax_uid,
            sha256=self._digest.hexdigest(),
            size=self._size,
            calling_ae=self._sent.calling_ae,
            called_ae=self._sent.called_ae,
            address=self._sent.address,
            association=self._sent.association,
            received_at=datetime.now(UTC).isoformat(),
            fetched=MOVED if self._asked.move_originator == self._sent.called_ae else "",
            stat=stat or self._sent.stat,
        )
        try:
            return keep(self._spool, self._draft, receipt)
        except (SpoolFull, OSError) as error:
            raise _no_room(error) from None

    def _identity(self, draft: Draft) -> tuple[str, bool]:
        """The study, and whether it is STAT; the UIDs checked against the request (PS3.4 B.2.2 and Table B.2-1).

        Most data sets are whole and say what the request said: they are measured, and not parsed.
        """
        try:
            with opened(draft.path) as content:
                _, begins = data_set_at(content)
                found = measure(content, TAGS)
            if begins != len(self._head):
                raise NotStored(StoreStatus.CANNOT_UNDERSTAND, "Group 0002 in the data set; wanted in files alone")
            if found is not None:
                told = {TAGS[tag]: value.rstrip(b"\0 ").decode("ascii", "replace") for tag, value in found.items()}
                asked = (self._asked.sop_class_uid, self._asked.sop_instance_uid)
                study = told["StudyInstanceUID"]
                if (
                    (told["SOPClassUID"], told["SOPInstanceUID"]) == asked
                    and UID_PATTERN.fullmatch(study)
                    and len(study) <= UID_LENGTH
                    and not any(told[keyword] for keyword in PRIORITY)
                ):
                    return study, False
            identity = parsed(draft.path, pixels=False, keywords=[*IDENTITY, *PRIORITY])
        except Unreadable as error:
            if isinstance(error.__cause__, OSError | MemoryError):  # the fault is here, and not in what was sent
                raise _no_room(error.__cause__) from None
            LOG.warning("data set not understood", reason=str(error))
            raise NotStored(StoreStatus.CANNOT_UNDERSTAND, "The data set cannot be parsed") from None
        _check(identity, self._asked)
        return str(identity.StudyInstanceUID), says_stat(identity)


def _check(identity: Dataset, asked: Request) -> None:
    try:
        require_names(identity)
    except Unreadable as error:
        raise NotStored(StoreStatus.DOES_NOT_MATCH_SOP_CLASS, str(error)) from None
    if identity.SOPClassUID != asked.sop_class_uid:
        raise NotStored(StoreStatus.DOES_NOT_MATCH_SOP_CLASS, "SOP Class UID differs from the request's")
    if identity.SOPInstanceUID != asked.sop_instance_uid:
        raise NotStored(StoreStatus.DOES_NOT_MATCH_SOP_CLASS, "SOP Instance UID differs from the request's")


def _told(refusal: NotStored) -> tuple[int, str]:
    LOG.warning("instance not taken", status=f"0x{refusal.status:04X}", reason=refusal.comment)
    return refusal.status, refusal.comment


def _no_room(error: Exception) -> NotStored:
    if isinstance(error, SpoolFull):
        return NotStored(StoreStatus.OUT_OF_RESOURCES, "Disk below its reserve; send again later")
    if isinstance(error, MemoryError):
        return NotStored(StoreStatus.OUT_OF_RESOURCES, "Out of memory; send again later")
    reason = error.strerror if isinstance(error, OSError) else error
    return NotStored(StoreStatus.OUT_OF_RESOURCES, f"Cannot write: {reason}")
