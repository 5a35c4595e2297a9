"""The DICOM SCP: C-ECHO and C-STORE; answers a status once the bytes are durable, and notes the receipt.

From destinations it takes what they report of storage commitment (N-EVENT-REPORT, PS3.4 J.3.3) as well.
"""

import logging
import os
import time
from collections.abc import Callable, Collection
from functools import partial
from socket import socket
from typing import Any, cast

from pydicom import Dataset
from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import by pynetdicom
from pynetdicom.transport import ThreadedAssociationServer

from cxrnode.commitment import PUSH_MODEL, Reports, answer_report, decline_request
from cxrnode.errors import PeerUnavailable, Unreadable
from cxrnode.faultpoints import Point, reached
from cxrnode.log import logger
from cxrnode.metrics import counts
from cxrnode.receipt import Receipt
from cxrnode.receiving.arrival import Sent, StoreArrival, StoreStatus
from cxrnode.receiving.cstore import Request
from cxrnode.receiving.doorway import LARGEST_PDU, MOST_WAITING, Doorway
from cxrnode.receiving.inflow import Inflow
from cxrnode.receiving.porch import Alert, Porch
from cxrnode.results.encode import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from cxrnode.settings.listener import Listening
from cxrnode.settings.sender import plain
from cxrnode.spool import Spool
from cxrnode.tls import names_of

LOG = logger("receive")
ENDS_WITHIN_S = 5.0
"""So long the associations are waited for that are open when it stops."""
CALLING_AE_NOT_RECOGNISED, CALLED_AE_NOT_RECOGNISED = (0x01, 0x01, 0x03), (0x01, 0x01, 0x07)
LOCAL_LIMIT_EXCEEDED = (0x02, 0x03, 0x02)
"""Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
REFUSED_FOR = dict(
    zip((CALLED_AE_NOT_RECOGNISED, CALLING_AE_NOT_RECOGNISED, LOCAL_LIMIT_EXCEEDED), counts.REFUSED_FOR, strict=True)
)


class Handed(ThreadedAssociationServer):
    """Of pynetdicom's server all but the port: it is given connections."""

    def server_bind(self) -> None:
        """Nothing is bound."""

    def server_activate(self) -> None:
        """Nor listened to."""


class Receiver:
    """A Storage SCP over one spool; `note` is told every receipt after the bytes are durable, `alert` who was refused.

    `note` must not raise and must not wait long: Success is answered after it returns.
    """

    def __init__(
        self,
        ae_title: str,
        settings: Listening,
        spool: Spool,
        note: Callable[[Receipt], None],
        reports: Reports | None = None,
        *,
        doorway: Doorway | None = None,
        alert: Alert = lambda *_: None,
    ) -> None:
        self._ae_title = ae_title
        self._settings = settings
        self._spool = spool
        self._note = note
        self._reports = reports or Reports()
        self._doorway = doorway or Doorway(settings)
        self._alert = alert
        self.porch = Porch(settings.tls, alert, self._doorway.most_waiting) if settings.tls else None
        self._contexts: list[PresentationContext] = []
        self._storage = frozenset(storage_classes(settings))
        self._server: ThreadedAssociationServer | None = None

    def start(self) -> None:
        """Listen; returns at once. Raises OSError when the port is taken."""
        entity, where, events = self._entity()
        self._serve(entity.start_server(where, block=False, evt_handlers=events))
        LOG.info("listening", ae_title=self._ae_title, host=self._settings.host, port=self._settings.port)

    def wait(self) -> None:
        """Be ready for connections that another process accepts."""
        entity, where, events = self._entity()
        self._serve(entity.make_server(where, evt_handlers=events, server_class=Handed))

    def take(self, connection: socket) -> None:
        """Have a thread serve this connection. Raises OSError when it has ended."""
        if self._server is not None:
            self._server.process_request(connection, connection.getpeername())
            self._server.service_actions()

    def stop(self) -> None:
        """Close the listening socket and abort the associations that are open."""
        if self._server is not None:
            if self.porch is not None:
                self.porch.close()  # else a stalled handshake would be waited for
            if not isinstance(self._server, Handed):
                self._server.shutdown()  # nobody else comes in
            associations = self._server.active_associations
            for one in associations:
                self._doorway.see_off(one)
            give_up = time.monotonic() + ENDS_WITHIN_S
            for one in associations:
                one.join(max(0.0, give_up - time.monotonic()))
            self._server.ae.shutdown()
            self._server = None

    def _entity(self) -> tuple[ApplicationEntity, tuple[str, int], list[EventHandlerType]]:
        """What is negotiated, where, and what happens then."""
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its lines may quote data sets
        _config.LOG_HANDLER_LEVEL = "none"  # nor need they be put together then
        entity = application_entity(self._ae_title, self._settings)
        self._contexts = entity.supported_contexts
        events: list[EventHandlerType] = [
            (evt.EVT_CONN_OPEN, self._doorway.on_open),
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_FSM_TRANSITION, self._doorway.on_transition),
            (evt.EVT_PDU_RECV, self._doorway.on_pdu),
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_ACCEPTED, lambda _event: reached(Point.ACCEPTED)),
            (evt.EVT_ABORTED, _on_aborted),
            (evt.EVT_C_ECHO, lambda _event: StoreStatus.SUCCESS),
            (evt.EVT_N_EVENT_REPORT, self._on_report),
            (evt.EVT_N_ACTION, lambda _event: decline_request()),
        ]
        return entity, (self._settings.host, self._settings.port), events

    def _serve(self, server: object) -> None:
        self._server = cast(ThreadedAssociationServer, server)
        self._server.contexts = []  # they would be copied for each connection, which takes 0.3 s
        if self.porch is not None:
            served = cast(Any, self._server).finish_request  # called in the connection's own thread
            cast(Any, self._server).finish_request = partial(self._secured, self.porch, served)

    def _secured(self, porch: Porch, served: Callable[[socket, Any], None], plain: socket, address: Any) -> None:
        """Have a connection served once its handshake is made, in the connection's own thread."""
        try:
            connection = porch.secured(plain, address[0])
        except PeerUnavailable:  # which the porch has told
            self._doorway.ended()
        else:
            served(connection, address)

    def _on_open(self, event: Event) -> None:
        """Have what it stores taken past pynetdicom."""
        Inflow(event, self._doorway, self._settings.largest_instance_mb, self._begin)

    def _on_requested(self, event: Event) -> None:
        """Reject who is not on the allow-list (PS3.8 Table 9-21), and say so in the log; offer the others theirs."""
        request = cast(A_ASSOCIATE, event.assoc.requestor.primitive)
        calling, called = request.calling_ae_title.strip(), request.called_ae_title.strip()
        address = event.assoc.requestor.address
        if called != self._ae_title:
            fault, diagnostic = f"called AE title is not {self._ae_title}", CALLED_AE_NOT_RECOGNISED
        elif not self._offer(event.assoc, calling, address):
            fault, diagnostic = f"no entry of receiving.senders admits {self._of_whom}", CALLING_AE_NOT_RECOGNISED
        elif not (fault := self._doorway.refusal(event.assoc, calling)):
            counts.accepted(calling)
            return
        else:
            diagnostic = LOCAL_LIMIT_EXCEEDED
        LOG.warning("association refused", reason=fault, calling_ae=calling, called_ae=called, address=address)
        counts.refused(calling if admits(self._settings, calling, address) else "", REFUSED_FOR[diagnostic])
        _reject(event.assoc, diagnostic)
        self._alert(calling, address, fault)

    def _offer(self, association: Association, calling: str, address: str) -> bool:
        """Storage to senders, storage commitment to destinations; False: this is neither."""
        sender = self._admits(association, calling, address)
        reporter = bool(self._reports.of(calling, address, sender=sender))
        acceptor = association.acceptor
        offered = {PUSH_MODEL: reporter, Verification: True}
        acceptor.supported_contexts = [one for one in self._contexts if offered.get(one.abstract_syntax, sender)]
        return sender or reporter

    def _on_report(self, event: Event) -> tuple[Dataset, None]:
        requestor = event.assoc.requestor
        calling, address = requestor.ae_title.strip(), requestor.address
        names = self._reports.of(calling, address, sender=self._admits(event.assoc, calling, address))
        return answer_report(event, lambda report: self._reports.keep(report, names))

    def _admits(self, association: Association, calling: str, address: str) -> bool:
        """Whether a sender is calling: by AE title, address and, over TLS, the name in its certificate."""
        named = names_of(cast(Any, association.dul.socket).socket) if self.porch is not None else None
        return admits(self._settings, calling, address, named)

    @property
    def _of_whom(self) -> str:
        return f"this AE title, address{' and certificate' if self.porch else ''}"

    def _begin(self, association: Association, asked: Request, context: PresentationContext) -> StoreArrival:
        """What takes the data set that this association is about to send. Raises Unreadable for what is no storage."""
        if not self._storage.issuperset((asked.sop_class_uid, context.abstract_syntax)):
            raise Unreadable("a C-STORE-RQ of another SOP class than those of storage; wanted one that was negotiated")
        calling, address = association.requestor.ae_title.strip(), association.requestor.address
        over = f"{os.getpid()}-{id(association):x}-{association.name.rpartition('@')[2]}"
        sent = Sent(calling, self._ae_title, address, over, is_stat(self._settings, calling, address))
        return StoreArrival(self._spool, self._note, asked, str(context.transfer_syntax[0]), sent)


def application_entity(ae_title: str, settings: Listening) -> ApplicationEntity:
    """What is negotiated: each storage SOP class in every transfer syntax, Verification, PDUs of a length.

    Storage Commitment too: who reports should propose the role of SCP (PS3.4 J.3.3.1.3), but some forget it.
    """
    ae = AE(ae_title)
    ae.implementation_class_uid, ae.implementation_version_name = IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = LARGEST_PDU
    ae.maximum_associations = settings.max_associations + MOST_WAITING  # the doorway counts the seats
    ae.acse_timeout = ae.network_timeout = settings.network_timeout_s
    ae.add_supported_context(Verification)
    ae.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
    for storage_class in storage_classes(settings):
        ae.add_supported_context(storage_class, list(AllTransferSyntaxes))
    return ae


def admits(settings: Listening, ae_title: str, address: str, named: Collection[str] | None = None) -> bool:
    """Whether this AE title may call from this address, with a certificate of these names (None: without TLS).

    With no senders listed, any may from this machine alone.
    """
    if not settings.senders:
        return plain(address).is_loopback
    admitting = [sender for sender in settings.senders if sender.admits(ae_title, address)]
    return any(named is None or sender.is_named(named) for sender in admitting)


def is_stat(settings: Listening, ae_title: str, address: str) -> bool:
    """Whether all that this AE title sends from this address is STAT."""
    return any(sender.stat and sender.admits(ae_title, address) for sender in settings.senders)


def storage_classes(settings: Listening) -> list[UID]:
    """The storage SOP classes that are negotiated."""
    if settings.storage_classes == "all":
        return [context.abstract_syntax for context in AllStoragePresentationContexts if context.abstract_syntax]
    return [UID(uid) for uid in settings.storage_classes]


def _reject(association: Association, diagnostic: tuple[int, int, int]) -> None:
    association.acse.send_reject(*diagnostic)
    association.is_rejected = True
    association.kill()


def _on_aborted(event: Event) -> None:
    LOG.warning("association aborted", address=event.assoc.requestor.address)
    counts.ABORTED.inc()
