"""C-MOVE and C-GET SCU: has a PACS send a study, to this node's receiver or over the association that asks (PS3.4 C.4).

A PACS says how far it is after each image. One that says nothing for a time, comes no further or to no end is left.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.association import Association

from cxrnode.errors import CxrNodeError, PeerRefused, PeerUnavailable
from cxrnode.peers.calling import SOP_CLASS_NOT_SUPPORTED, UNCOMPRESSED, Allowance, associate, silence
from cxrnode.peers.cfind import FIND, FIND_CONTEXTS, PENDING, Asking, TooManyError
from cxrnode.peers.match import text_in
from cxrnode.peers.storable import GET, GET_CONTEXTS, MOVE, MOVE_CONTEXTS, STORED
from cxrnode.receiving.doorway import LARGEST_PDU
from cxrnode.settings.archive import Archive

Take = Callable[[bytes], int]
"""Given an instance as PS3.10 bytes; the status that C-STORE is answered with, 0x0000 where it was kept."""

LARGEST_INSTANCE = 2**30
"""Bytes of one image, as at the receiver."""
LARGEST_RESPONSE = 2**20
MOST_INSTANCES = 100_000
"""Of one study; and so many responses at the most."""
CANNOT_UNDERSTAND = 0xC000
COUNTS = ("Completed", "Warning", "Failed", "Remaining")
FAILURES = {
    0xA701: "is out of resources: it cannot tell how much it would send",
    0xA702: "is out of resources, or could send nothing",
    0xA801: "knows no move destination {move_to}; wanted this AE title entered there, with this node's host and port",
    0xA900: "takes no such identifier",
    0x0122: "does not offer this service",
    0x0124: "does not allow it; wanted {calling_ae} entered there as one that may retrieve",
}
UNABLE = (
    "was unable to: it may not know AE title {move_to}, not reach it at the host and port entered there, or be refused"
)


@dataclass(frozen=True)
class Retrieved:
    """The images of a study that were sent, and that could not be, and why (PS3.7 9.1.4); none is no such study."""

    completed: int
    failed: int
    reason: str = ""


def move(archive: Archive, calling_ae: str, move_to: str, study_instance_uid: str) -> Retrieved:
    """Have a study sent to the AE title `move_to`, as the PACS knows it; returns when it was.

    Raises PeerUnavailable where the PACS gives no answer in time or comes no further, PeerRefused with the status.
    """
    allowance = Allowance(LARGEST_RESPONSE, archive.timeout_s)
    association = _associated(archive, calling_ae, MOVE_CONTEXTS, allowance)
    responses = association.send_c_move(_study(study_instance_uid), move_to, MOVE)
    retrieval = _Retrieval(archive, calling_ae, "C-MOVE", study_instance_uid, allowance, move_to)
    counts = retrieval.followed(association, responses)
    return retrieval.ended(counts.get("Completed", 0) + counts.get("Warning", 0), counts.get("Failed", 0))


def get(archive: Archive, calling_ae: str, study_instance_uid: str, take: Take) -> Retrieved:
    """Fetch a study over this association; `take` is given each instance as it came, in File Meta Information of ours.

    What it raises ends the association, and is raised. Raises else as `move` does.
    """
    allowance = Allowance(LARGEST_INSTANCE, archive.timeout_s)
    retrieval = _Retrieval(archive, calling_ae, "C-GET", study_instance_uid, allowance, take=take)
    association = _associated(archive, calling_ae, GET_CONTEXTS, allowance, retrieval)
    responses = association.send_c_get(_study(study_instance_uid), GET)
    counts = retrieval.followed(association, responses)
    return retrieval.ended(retrieval.kept, max(counts.get("Failed", 0), retrieval.not_taken))


def not_offered(archive: Archive, calling_ae: str) -> list[str]:
    """Which of the services that are needed of a PACS it does not offer. Raises PeerUnavailable with the reason."""
    wanted = {FIND: "C-FIND", **({MOVE: "C-MOVE"} if archive.retrieve == "move" else {GET: "C-GET"})}
    contexts = FIND_CONTEXTS | {(uid, syntax) for uid in wanted for syntax in UNCOMPRESSED}
    association = associate(archive.peer, calling_ae, contexts)
    association.release()
    offered = {str(context.abstract_syntax) for context in association.accepted_contexts}
    return [name for uid, name in wanted.items() if uid not in offered]


class _Over(BaseException):
    """Leaves pynetdicom from inside a handler, of which it would answer any Exception and go on."""


@dataclass
class _Retrieval:
    """One retrieval, while the PACS answers."""

    archive: Archive
    calling_ae: str
    service: str
    study: str
    allowance: Allowance
    move_to: str = ""
    take: Take | None = None
    kept: int = 0
    not_taken: int = 0
    status: int = 0x0000
    fault: Exception | None = None

    def followed(self, association: Association, responses: Iterator[tuple[Dataset, Dataset | None]]) -> dict[str, int]:
        """What the PACS says last of its sub-operations, each number where it says it last."""
        try:
            counts = self._followed(association, responses)
        except _Over:
            association.abort(block=False)
            raise self.fault or PeerUnavailable(self.service) from None
        except CxrNodeError:
            association.abort(block=False)
            raise
        except Exception as error:
            association.abort(block=False)
            told = f"{self.archive.where} answers {self.service} with what cannot be understood"
            raise PeerUnavailable(f"{told} ({type(error).__name__})") from error
        association.release()
        return counts

    def ended(self, completed: int, failed: int) -> Retrieved:
        """What came of it, by the last status."""
        name = self.archive.name
        if self.status not in (0x0000, 0xB000) and not self.not_taken:
            if not completed and self._is_gone():  # Orthanc answers 0xC000 for that too
                return Retrieved(0, 0)
            words = FAILURES.get(
                self.status, UNABLE if self.status >> 12 == 0xC and self.move_to else "could not send it"
            )
            told = words.format(move_to=self.move_to, calling_ae=self.calling_ae)
            raise PeerRefused(f"{self.archive.where} {told} ({self.service}: 0x{self.status:04X})", self.status)
        failed = max(failed, 1) if self.status else failed
        if not failed:
            return Retrieved(completed, 0)
        reason = f"{failed} of {completed + failed} images could not be sent by {name} (0x{self.status:04X})"
        if self.not_taken:
            reason = f"{self.not_taken} of {completed + failed} images from {name} could not be kept"
        return Retrieved(completed, failed, reason)

    def on_c_store(self, event: evt.Event) -> int:
        """For pynetdicom: an instance that came."""
        self.allowance.renew()
        try:
            status = self._taken(event)
        except Exception as error:
            self.fault = error
            raise _Over from error
        self.kept += status == 0x0000
        self.not_taken += status != 0x0000
        return status

    def _is_gone(self) -> bool:
        """Whether the PACS says that it has no such study."""
        request = _study(self.study)
        try:
            with Asking(self.archive.peer, self.calling_ae) as asking:
                return not any(text_in(match or Dataset(), "StudyInstanceUID") for match in asking.ask(request))
        except (CxrNodeError, TooManyError):
            return False

    def _taken(self, event: evt.Event) -> int:
        if self.take is None or not event.encoded_dataset(include_meta=False):
            return CANNOT_UNDERSTAND
        if self.kept + self.not_taken >= MOST_INSTANCES:
            raise PeerUnavailable(f"what {self.archive.where} sends does not come to an end")
        return self.take(event.encoded_dataset())

    def _followed(
        self, association: Association, responses: Iterator[tuple[Dataset, Dataset | None]]
    ) -> dict[str, int]:
        counts: dict[str, int] = {}
        came = 0
        last = further = monotonic()
        for number, (answer, _) in enumerate(responses):
            self.allowance.renew()
            before, now = (counts.copy(), came), monotonic()
            counts |= _counts(answer)
            came = self.kept + self.not_taken
            if answer.get("Status") is None:
                told = silence(association, self.service, number + came, now - last)
                raise PeerUnavailable(f"{self.archive.where} {told}")
            self.status = int(answer.Status)
            if self.status not in PENDING:
                return counts
            last, further = now, now if (counts, came) != before else further
            if now > further + self.archive.timeout_s or number >= MOST_INSTANCES:
                raise PeerUnavailable(f"{self.archive.where} answers {self.service} without end, and comes no further")
        raise PeerUnavailable(f"{self.archive.where} gave no answer to {self.service}")


def _associated(
    archive: Archive,
    calling_ae: str,
    contexts: set[tuple[str, str]],
    allowance: Allowance,
    retrieval: _Retrieval | None = None,
) -> Association:
    limits: list[Any] = [(evt.EVT_CONN_OPEN, allowance.on_open)]
    if retrieval is not None:
        limits.append((evt.EVT_C_STORE, retrieval.on_c_store))
    service = GET if retrieval else MOVE
    association = associate(
        archive.peer,
        calling_ae,
        contexts,
        limits,
        stored=STORED if retrieval else (),
        largest_pdu=LARGEST_PDU if retrieval else 0,
    )
    if service not in {context.abstract_syntax for context in association.accepted_contexts}:
        association.release()
        told = f"{archive.where} accepts no presentation context for {'C-GET' if retrieval else 'C-MOVE'}"
        raise PeerRefused(told, SOP_CLASS_NOT_SUPPORTED)
    return association


def _study(study_instance_uid: str) -> Dataset:
    request = Dataset()
    request.QueryRetrieveLevel = "STUDY"
    request.StudyInstanceUID = study_instance_uid
    return request


def _counts(answer: Dataset) -> dict[str, int]:
    """The numbers of sub-operations (0000,1020) to (0000,1023), as far as they are told."""
    told = {name: answer.get(f"NumberOf{name}Suboperations") for name in COUNTS}
    return {name: count for name, count in told.items() if isinstance(count, int)}
