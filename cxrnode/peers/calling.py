"""An association with a peer that is called, and the reason where there is none: for whoever sends, asks or checks."""

import logging
import socket
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, cast

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import by pynetdicom
from pynetdicom.transport import AssociationSocket

from cxrnode import tls
from cxrnode.errors import PeerUnavailable, SettingsError
from cxrnode.peers.checkpoint import Checkpoint
from cxrnode.receiving.doorway import received, wait_at_most
from cxrnode.results.encode import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from cxrnode.settings.destination import Destination

SOP_CLASS_NOT_SUPPORTED = 0x0122
UNCOMPRESSED = {str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)}
STORAGE = "1.2.840.10008.5.1.4.1.1."
"""what the UIDs of all composite objects begin with"""
VERIFICATION_CONTEXT = (str(Verification), str(ImplicitVRLittleEndian))


def associate(
    destination: Destination,
    calling_ae: str,
    contexts: set[tuple[str, str]],
    handlers: Sequence[evt.EventHandlerType] = (),
    *,
    stored: Collection[str] = (),
    largest_pdu: int = 0,
) -> Association:
    """An association with these (SOP class, transfer syntax) pairs. Raises PeerUnavailable with the reason.

    Of the SOP classes in `stored` this node is the SCP: the peer sends them over this association (PS3.7 D.3.3.4).
    """
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its lines may quote data sets
    _config.STORE_SEND_CHUNKED_DATASET = True  # the file's very bytes, not decoded and encoded again
    ae = application_entity(calling_ae, destination.timeout_s, contexts)
    address = (destination.host, destination.port)
    try:
        secured = tls.calling(destination.tls, destination.host, destination.tls_name) if destination.tls else None
    except SettingsError as error:  # a certificate is being renewed, or is gone
        raise PeerUnavailable(f"{called(destination)} cannot be called over TLS: {error}") from error
    met: list[evt.EventType] = []
    ours: list[evt.EventHandlerType] = [(evt.EVT_CONN_OPEN, _send_at_once), (evt.EVT_PDU_SENT, _acknowledge_at_once)]
    ours += [(of, lambda event: met.append(event.event)) for of in (evt.EVT_CONN_OPEN, evt.EVT_ACSE_RECV)]
    association = ae.associate(
        *address,
        tls_args=cast(Any, secured),
        ae_title=destination.ae_title,
        max_pdu=largest_pdu,
        ext_neg=[build_role(UID(uid), scp_role=True) for uid in sorted(stored)] or None,
        evt_handlers=[*handlers, *ours],
    )
    if association.is_established:
        association._reactor_checkpoint = Checkpoint(association)  # noqa: SLF001  nothing public pauses it
        return association
    trouble = secured[0].trouble if secured else ""
    raise PeerUnavailable(f"{called(destination)} {_why_none(association, met, trouble)}")


def _why_none(association: Association, met: Collection[evt.EventType], trouble: str) -> str:
    """Why there is no association, by what was met when it was asked for: a connection, an answer, trouble of TLS."""
    if association.is_rejected:
        refusal = association.acceptor.primitive
        return f"rejected the association: {refusal.reason_str}" if refusal else "rejected the association"
    if trouble:
        return f"makes no TLS connection: {trouble}"
    if evt.EVT_CONN_OPEN not in met:
        return "cannot be reached"
    if evt.EVT_ACSE_RECV in met:
        return "ended the connection instead of accepting or rejecting the association"
    return f"gave no answer to the request for an association within {association.acse_timeout:g} s"


class Allowance:
    """What a peer that is called may send: so many bytes until `renew`, each PDU whole within a time.

    Past it the connection is closed.
    """

    def __init__(self, size: int, patience_s: float) -> None:
        self._size, self._left, self._patience_s = size, size, patience_s

    def renew(self) -> None:
        """As many bytes as at first."""
        self._left = self._size

    def on_open(self, event: evt.Event) -> None:
        """For pynetdicom, when the connection is open."""
        connection: Any = event.assoc.dul.socket  # pynetdicom's, round the socket itself

        wait_at_most(connection.socket, self._patience_s)

        def recv(size: int) -> bytes:
            self._left -= size
            if self._left < 0:
                raise OSError(f"more than {self._size} bytes of answers")
            return received(connection.socket, size)

        connection.recv = recv


def application_entity(ae_title: str, timeout_s: float, contexts: set[tuple[str, str]]) -> ApplicationEntity:
    """What is proposed: these (SOP class, transfer syntax) pairs, each in a context of its own, PDUs of any length."""
    ae = AE(ae_title)
    ae.implementation_class_uid, ae.implementation_version_name = IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = 0
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = timeout_s
    for sop_class, transfer_syntax in sorted(contexts, key=_first_the_usual):
        ae.add_requested_context(sop_class, transfer_syntax)
    return ae


def _send_at_once(event: evt.Event) -> None:
    """No waiting for more to send: a peer that acknowledges late would hold every object up by 40 ms."""
    connection: Any = event.assoc.dul.socket  # pynetdicom's, round the socket itself
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if isinstance(connection.socket, tls.Connection):
        connection.__class__ = _Secured


class _Secured(AssociationSocket):
    """pynetdicom's, but ready only when a message has begun: a key that TLS renews would be waited on as one."""

    @property
    def ready(self) -> bool:
        """Whether there is something to be read; where the connection is gone, its reader finds out."""
        if not isinstance(self.socket, tls.Connection):
            return False
        try:
            return self.socket.has_come()
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False


def _acknowledge_at_once(event: evt.Event) -> None:
    """Nor any for a peer that waits likewise with the second half of its answer; Linux forgets it after each answer."""
    connection: Any = event.assoc.dul.socket
    with suppress(OSError, AttributeError):  # closed meanwhile, or no Linux
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _first_the_usual(context: tuple[str, str]) -> tuple[str, bool, str]:
    """Objects in explicit VR first: a peer that may choose takes the first, and that is how it mostly has them."""
    sop_class, syntax = context
    return sop_class, sop_class.startswith(STORAGE) and syntax != ExplicitVRLittleEndian, syntax


def called(destination: Destination) -> str:
    """A destination in words: its name, AE title, host and port."""
    return f"{destination.name} ({destination.ae_title} at {destination.host}:{destination.port})"


def silence(association: Association, service: str, answered: int, waited_s: float) -> str:
    """Why a request has no status after so many answers: nothing came in time, or the association ended."""
    if waited_s >= (association.dimse_timeout or 0):
        return f"gave no answer to {service} within {association.dimse_timeout:g} s"
    if answered:
        return f"ended the association in the middle of its answers to {service}"
    ours = association.requestor.ae_title.strip()
    return (
        f"ended the association at {service} without an answer, as a PACS does to an AE title that it does not know; "
        f"wanted {ours} entered there as one that may query and retrieve"
    )
