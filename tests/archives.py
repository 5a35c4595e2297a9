"""An archive that offers storage commitment, on loopback, and commits, fails, reports late or wrongly on request."""

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pydicom import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association

from cxrnode.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from tests.fakes import FakePacs

NO_SUCH_OBJECT = 0x0112


@dataclass
class Archive(FakePacs):
    """A Storage Commitment SCP: reports to `node_port` on a new association, or on the one that asked (0), or `never`.

    Of each request those objects fail that `failing` names by number, in turn; none when it has run out.
    """

    node_port: int = 0
    never: bool = False
    says_its_role: bool = True
    failing: list[Collection[int]] = field(default_factory=list)
    action_statuses: list[int] = field(default_factory=list)
    requests: list[Dataset] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """what the node answered to the reports"""

    def _offer_more(self, ae: AE) -> Sequence[evt.EventHandlerType]:
        ae.add_supported_context(PUSH_MODEL)
        return [(evt.EVT_N_ACTION, self._on_n_action)]

    def _on_n_action(self, event: evt.Event) -> tuple[int, None]:
        if status := self.action_statuses.pop(0) if self.action_statuses else 0x0000:
            return status, None
        self.requests.append(event.action_information)
        if not self.never:
            failing = self.failing.pop(0) if self.failing else ()
            arguments = (event.action_information, failing, None if self.node_port else event.assoc)
            threading.Timer(0.05, self.report, arguments).start()
        return 0x0000, None

    def report(
        self, request: Dataset, failing: Collection[int] = (), association: Association | None = None, ae: str = ""
    ) -> int | None:
        """Report on a request; the status that it is answered with, None when there is no context to report on."""
        items = list(request.ReferencedSOPSequence)
        told = Dataset()
        told.TransactionUID = request.TransactionUID
        told.ReferencedSOPSequence = [item for number, item in enumerate(items) if number not in failing]
        told.FailedSOPSequence = [items[number] for number in failing]
        for item in told.FailedSOPSequence:
            item.FailureReason = NO_SUCH_OBJECT
        own = association is None
        if association is None:
            association = self.call(ae or "FAKEPACS")
        if not association.accepted_contexts:
            return None
        arguments = (2 if failing else 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        answer, _ = association.send_n_event_report(told, *arguments)
        if own:
            association.release()
        self.answers.append(answer.Status)
        return int(answer.Status)

    def call(self, ae_title: str) -> Association:
        """An association with the node for reports."""
        ae = AE(ae_title)
        ae.add_requested_context(PUSH_MODEL)
        roles = [build_role(PUSH_MODEL, scp_role=True)] if self.says_its_role else []
        return ae.associate("127.0.0.1", self.node_port, ae_title="CXRNODE", ext_neg=roles)
