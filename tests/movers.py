"""A PACS that is asked to send, on loopback: it answers C-MOVE and C-GET as it is told to, however wrongly."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_MOVE

from cxrnode.peers.cfind import FIND
from cxrnode.peers.storable import GET, MOVE, STORED
from tests.fakes import FakePacs
from tests.sources import Answers, match

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


@dataclass(frozen=True)
class Says:
    """A response: its status, and what it says of the sub-operations; None is nothing."""

    status: int
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    remaining: int | None = None


@dataclass
class Mover(FakePacs):
    """A Retrieve SCP: to C-MOVE it gives the responses of `says`, to C-GET what `sends` yields; C-FIND knows `has`."""

    says: Callable[[], Iterator[Says]] | Sequence[Says] = ()
    sends: Callable[[], Iterator[Any]] | None = None
    has: Sequence[str] = ()
    offers: bool = True
    hangs_s: float = 0.0
    """how long it is silent after what it says"""
    drops: bool = False
    """whether it then aborts"""
    asked: list[Dataset] = field(default_factory=list)

    def _offer_more(self, ae: AE) -> Sequence[evt.EventHandlerType]:
        ae.add_supported_context(FIND, IMPLICIT)
        if self.offers:
            ae.add_supported_context(MOVE, IMPLICIT)
            ae.add_supported_context(GET, IMPLICIT)
        for uid in STORED:
            ae.remove_supported_context(uid)
            ae.add_supported_context(uid, [EXPLICIT, IMPLICIT], scu_role=False, scp_role=True)
        return [
            (evt.EVT_C_FIND, self._on_c_find),
            (evt.EVT_C_MOVE, self._on_c_move),
            (evt.EVT_C_GET, self._on_c_get),
        ]

    def _on_c_find(self, event: evt.Event) -> Answers:
        if event.identifier.StudyInstanceUID in self.has:
            yield 0xFF00, match(event.identifier.StudyInstanceUID)

    def _on_c_move(self, event: evt.Event) -> Iterator[Any]:
        self.asked.append(event.identifier)
        for said in self.says() if callable(self.says) else self.says:
            if not event.assoc.is_established:
                return
            answer = C_MOVE()
            answer.MessageIDBeingRespondedTo = event.request.MessageID
            answer.AffectedSOPClassUID = MOVE
            answer.Status = said.status
            answer.NumberOfCompletedSuboperations = said.completed
            answer.NumberOfFailedSuboperations = said.failed
            answer.NumberOfWarningSuboperations = said.warning
            answer.NumberOfRemainingSuboperations = said.remaining
            event.assoc.dimse.send_msg(answer, event.context.context_id)
        time.sleep(self.hangs_s)
        if self.drops:
            event.assoc.abort()
        yield None  # no destination: pynetdicom sends a failure after all that was said, which nobody waits for

    def _on_c_get(self, event: evt.Event) -> Iterator[Any]:
        self.asked.append(event.identifier)
        if self.sends is not None:
            yield from self.sends()
        time.sleep(self.hangs_s)
        if self.drops:
            event.assoc.abort()
