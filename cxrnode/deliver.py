"""C-STORE SCU: one association carries a round's objects to one destination; the status decides each one's fate.

Another asks it to commit itself to what it took (N-ACTION, PS3.4 J.3.2); its report comes on that one or a later one.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pydicom
from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF

from cxrnode.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, REQUEST, Report, Request, answer_report
from cxrnode.errors import PeerRefused, PeerUnavailable
from cxrnode.faultpoints import FAULTS, Point, reached
from cxrnode.peers.calling import SOP_CLASS_NOT_SUPPORTED, UNCOMPRESSED, VERIFICATION_CONTEXT, associate, called
from cxrnode.settings.destination import Destination

NOT_OFFERED = {0x0118, SOP_CLASS_NOT_SUPPORTED, 0x0123, 0x0211}
"""statuses of N-ACTION by which a peer says that it is no Storage Commitment SCP (PS3.7 10.1.4.1.10)"""
COMMITMENT_CONTEXTS = {(PUSH_MODEL, syntax) for syntax in UNCOMPRESSED} | {VERIFICATION_CONTEXT}
"""Verification besides, for an association of which nothing was accepted tells nothing"""


class Answer(StrEnum):
    """What a C-STORE status asks of the sender (PS3.4 Table B.2-1, PS3.7 Annex C)."""

    ACCEPTED = "accepted"
    LATER = "later"
    REFUSED = "refused"


@dataclass(frozen=True)
class Sent:
    """One object's answer: the DIMSE status (None: no answer) and a sentence."""

    answer: Answer
    status: int | None
    reason: str


def judge(status: int | None) -> Answer:
    """Success and warnings (0001, 0107, 0116, Bxxx): accepted; A7xx, 0110 and no answer: later; the rest: never."""
    if status is None or status == 0x0110 or 0xA700 <= status <= 0xA7FF:
        return Answer.LATER
    if status in (0x0000, 0x0001, 0x0107, 0x0116) or 0xB000 <= status <= 0xBFFF:
        return Answer.ACCEPTED
    return Answer.REFUSED


def send(
    files: Sequence[Path],
    destination: Destination,
    calling_ae: str,
    told: Callable[[int, Sent], None],
    wanted: Callable[[int], bool] = lambda _index: True,
) -> None:
    """Send Part 10 files as they are over one association; `told(index, sent)` is called after each answer.

    `wanted(index)` is asked just before each: what is not wanted any more is passed over. Raises PeerUnavailable when
    there is no association, or when it breaks; what was told before holds.
    """
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    watched = [(evt.EVT_PDU_SENT, _mid_store)] if FAULTS else []
    association = associate(destination, calling_ae, contexts_for(headers), watched)
    try:
        for index, (file, header) in enumerate(zip(files, headers, strict=True)):
            if not wanted(index):
                continue
            sent = _send_one(association, file, header, destination)
            told(index, sent)
            if sent.status is None or not association.is_established:  # it may be known a moment later that it ended
                place = f"object {index + 1} of {len(files)}"
                raise PeerUnavailable(f"{destination.name} ended the association, or gave no answer, at {place}")
    finally:
        if association.is_established:
            association.release()


def echo(destination: Destination, calling_ae: str) -> None:
    """C-ECHO a destination. Raises PeerUnavailable with the reason."""
    association = associate(destination, calling_ae, {VERIFICATION_CONTEXT})
    try:
        status = association.send_c_echo().get("Status")
    finally:
        association.release()
    if status != 0x0000:
        shown = "nothing" if status is None else f"0x{status:04X}"
        raise PeerUnavailable(f"{called(destination)} answered C-ECHO with {shown}; wanted 0x0000")


def not_taken(destination: Destination, calling_ae: str, sop_classes: Collection[str]) -> list[str]:
    """Which of these SOP classes a destination takes in neither uncompressed transfer syntax.

    Raises PeerUnavailable with the reason.
    """
    pairs = {(sop_class, syntax) for sop_class in sop_classes for syntax in UNCOMPRESSED}
    association = associate(destination, calling_ae, pairs)
    taken = {str(context.abstract_syntax) for context in association.accepted_contexts}
    association.release()
    return sorted(set(sop_classes) - taken)


def request_commitment(
    destination: Destination,
    calling_ae: str,
    begin: Callable[[], Request],
    take: Callable[[Report], bool],
    meanwhile: Callable[[Request], None],
) -> None:
    """Ask a destination to commit itself to what `begin` says, once there is an association to ask on.

    While it is open, `take` has what is reported on it; `meanwhile` is called when the request was taken, and may wait.
    Raises PeerUnavailable, and PeerRefused with the status: one of NOT_OFFERED where there is no storage commitment.
    """
    reports = (evt.EVT_N_EVENT_REPORT, lambda event: answer_report(event, take))
    association = associate(destination, calling_ae, COMMITMENT_CONTEXTS, [reports])
    try:
        if not _offers_commitment(association):
            told = f"{destination.name} offers no storage commitment"
            raise PeerRefused(told, SOP_CLASS_NOT_SUPPORTED)
        request = begin()
        answer, _ = association.send_n_action(request.as_dataset(), REQUEST, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        status = answer.get("Status")
        if status is None:
            raise PeerUnavailable(f"{destination.name} gave no answer to a request for storage commitment")
        if status != 0x0000:
            raise PeerRefused(
                f"{destination.name} answered a request for storage commitment with 0x{status:04X}", status
            )
        meanwhile(request)
    finally:
        if association.is_established:
            association.release()


def offers_commitment(destination: Destination, calling_ae: str) -> bool:
    """Whether a destination accepts to be a Storage Commitment SCP. Raises PeerUnavailable with the reason."""
    association = associate(destination, calling_ae, COMMITMENT_CONTEXTS)
    association.release()
    return _offers_commitment(association)


def contexts_for(headers: Sequence[Dataset]) -> set[tuple[str, str]]:
    """The (SOP class, transfer syntax) pairs to propose for these files: a file's own, and both uncompressed ones."""
    pairs = {(str(h.file_meta.MediaStorageSOPClassUID), str(h.file_meta.TransferSyntaxUID)) for h in headers}
    both = {(sop_class, syntax) for sop_class, used in pairs if used in UNCOMPRESSED for syntax in UNCOMPRESSED}
    return pairs | both


def _mid_store(event: evt.Event) -> None:
    if isinstance(event.pdu, P_DATA_TF):
        reached(Point.MID_STORE)


def _offers_commitment(association: Association) -> bool:
    return PUSH_MODEL in {context.abstract_syntax for context in association.accepted_contexts}


def _send_one(association: Association, file: Path, header: Dataset, destination: Destination) -> Sent:
    try:
        try:
            status = association.send_c_store(file).get("Status")
        except ValueError:  # not in the file's own transfer syntax: perhaps in the other uncompressed one
            status = association.send_c_store(pydicom.dcmread(file)).get("Status")
    except ValueError:
        sop_class = header.file_meta.MediaStorageSOPClassUID.name
        return Sent(
            Answer.REFUSED,
            SOP_CLASS_NOT_SUPPORTED,
            f"{destination.name} accepts no presentation context for {sop_class}",
        )
    except RuntimeError as error:
        raise PeerUnavailable(f"{destination.name}: {error}") from error
    answer = judge(status)
    shown = "no answer" if status is None else f"status 0x{status:04X}"
    return Sent(answer, status, f"{destination.name}: {shown}")
