"""Storage commitment in the standard's words (PS3.4 Annex J): what is asked, what is reported, how that is answered."""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from pydicom import Dataset

from cxrnode.dimse import answer
from cxrnode.errors import LedgerUnavailable, Unreadable
from cxrnode.log import logger
from cxrnode.results.evidence import reference_to
from cxrnode.settings.destination import Destination
from cxrnode.settings.sender import Sender

LOG = logger("commitment")
PUSH_MODEL, PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
REQUEST = 1
"""the one Action Type ID (PS3.4 Table J.3-1)"""
EVENT_TYPES = (1, 2)
"""all committed; failures exist (PS3.4 Table J.3-2)"""
REASONS = {
    0x0110: "processing failure",
    0x0112: "no such object instance",
    0x0119: "class and instance conflict",
    0x0122: "SOP class not supported",
    0x0131: "duplicate Transaction UID",
    0x0213: "resource limitation",
}
"""of Failure Reason (0008,1197), PS3.3 C.14.1.1"""


class ReportStatus(IntEnum):
    """How an N-EVENT-REPORT is answered (PS3.7 10.1.1.1.8)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_EVENT_TYPE = 0x0113
    INVALID_ARGUMENT_VALUE = 0x0115


NO_SUCH_ACTION = 0x0123
NO_ARCHIVE = "No archive: nothing is committed, all is purged in time"
"""why a request for commitment is declined (64 characters at the most)"""


@dataclass(frozen=True)
class Request:
    """What an archive is asked to commit itself to: (SOP Class UID, SOP Instance UID) of each object."""

    transaction_uid: str
    objects: tuple[tuple[str, str], ...]

    def as_dataset(self) -> Dataset:
        """The Action Information (PS3.4 Table J.3-1)."""
        asked = Dataset()
        asked.TransactionUID = self.transaction_uid
        asked.ReferencedSOPSequence = [reference_to(*one) for one in self.objects]
        return asked


@dataclass(frozen=True)
class Report:
    """What an archive says of a request: the SOP Instance UIDs it committed itself to, and why not to the others."""

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, int]


@dataclass(frozen=True)
class Reports:
    """Who may report on storage commitment, and who keeps what is reported: `keep(report, names of destinations)`.

    `keep` says whether one of them was asked for it, and raises LedgerUnavailable.
    """

    destinations: Sequence[Destination] = ()
    senders: Sequence[Sender] = ()
    """to whom results go back, where a destination says so"""
    keep: Callable[[Report, Sequence[str]], bool] = lambda _report, _names: False

    def of(self, ae_title: str, address: str, *, sender: bool) -> list[str]:
        """The destinations that call by this AE title: from their host, or from where they may send as well."""
        back = any(one.return_port and one.called == ae_title and one.is_at(address) for one in self.senders)

        def calls(one: Destination) -> bool:
            if one.return_to_sender:
                return back
            return one.ae_title == ae_title and (sender or address in _addresses(one))

        return [one.name for one in self.destinations if one.commitment != "off" and calls(one)]


def report_in(information: Dataset) -> Report:
    """The report in an Event Information (PS3.4 Table J.3-2); an object with two answers failed. Raises Unreadable."""
    if not information.get("TransactionUID"):
        raise Unreadable("TransactionUID (0008,1195) is absent; wanted a UID")
    failed = {
        str(one.get("ReferencedSOPInstanceUID", "")): int(one.get("FailureReason") or 0x0110)
        for one in information.get("FailedSOPSequence") or ()
    }
    named = {str(one.get("ReferencedSOPInstanceUID", "")) for one in information.get("ReferencedSOPSequence") or ()}
    return Report(str(information.TransactionUID), frozenset(named - failed.keys()), failed)


def answer_report(event: Any, take: Callable[[Report], bool]) -> tuple[Dataset, None]:
    """The response to an N-EVENT-REPORT (PS3.4 J.3.3.1.3): Success once `take` has kept it and knows it."""
    status, comment = _taken(event, take)
    if status is not ReportStatus.SUCCESS:
        LOG.warning("commitment report not taken", status=f"0x{status:04X}", reason=comment)
    return answer(status, comment), None


def decline_request() -> tuple[Dataset, None]:
    """The response to an N-ACTION: a failure, so that the asker knows that nothing is committed (PS3.4 J.3.2.1.3)."""
    LOG.warning("commitment request declined", status=f"0x{NO_SUCH_ACTION:04X}", reason=NO_ARCHIVE)
    return answer(NO_SUCH_ACTION, NO_ARCHIVE), None


def _taken(event: Any, take: Callable[[Report], bool]) -> tuple[ReportStatus, str]:
    if event.event_type not in EVENT_TYPES:
        return ReportStatus.NO_SUCH_EVENT_TYPE, f"Event Type ID {event.event_type}; wanted 1 or 2"
    try:
        known = take(report_in(event.event_information))
    except LedgerUnavailable:
        return ReportStatus.PROCESSING_FAILURE, "The ledger is away; report again later"
    except Unreadable as error:
        return ReportStatus.INVALID_ARGUMENT_VALUE, str(error)
    except Exception as error:  # noqa: BLE001  a status must be answered whatever happens
        return ReportStatus.PROCESSING_FAILURE, f"Internal fault: {type(error).__name__}"
    if not known:
        return ReportStatus.INVALID_ARGUMENT_VALUE, "Transaction UID (0008,1195) is of no request to this caller"
    return ReportStatus.SUCCESS, ""


def _addresses(destination: Destination) -> set[str]:
    try:
        found = socket.getaddrinfo(destination.host, None)
    except OSError:
        return set()
    return {str(address[0]) for *_, address in found}
