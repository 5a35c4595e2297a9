"""An association with a peer that is called, and the reason where there is none: for whoever sends, asks or checks."""

import logging
from collections.abc import Sequence

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import by pynetdicom

from cxrnode.destination import Destination
from cxrnode.errors import PeerUnavailable
from cxrnode.results.encode import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

SOP_CLASS_NOT_SUPPORTED = 0x0122
UNCOMPRESSED = {str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)}
VERIFICATION_CONTEXT = (str(Verification), str(ImplicitVRLittleEndian))


def associate(
    destination: Destination,
    calling_ae: str,
    contexts: set[tuple[str, str]],
    handlers: Sequence[evt.EventHandlerType] = (),
) -> Association:
    """An association with these (SOP class, transfer syntax) pairs. Raises PeerUnavailable with the reason."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its lines may quote data sets
    _config.STORE_SEND_CHUNKED_DATASET = True  # the file's very bytes, not decoded and encoded again
    ae = application_entity(calling_ae, destination.timeout_s, contexts)
    address = (destination.host, destination.port)
    association = ae.associate(
        *address,
        ae_title=destination.ae_title,
        max_pdu=ae.maximum_pdu_size,
        evt_handlers=list(handlers),
    )
    if association.is_established:
        return association
    if association.is_rejected:
        refusal = association.acceptor.primitive
        why = f"rejected the association: {refusal.reason_str}" if refusal else "rejected the association"
    else:
        why = "cannot be reached, or gave no answer"
    raise PeerUnavailable(f"{called(destination)} {why}")


def application_entity(ae_title: str, timeout_s: float, contexts: set[tuple[str, str]]) -> ApplicationEntity:
    """What is proposed: these (SOP class, transfer syntax) pairs, each in a context of its own, PDUs of any length."""
    ae = AE(ae_title)
    ae.implementation_class_uid, ae.implementation_version_name = IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = 0
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = timeout_s
    for sop_class, transfer_syntax in sorted(contexts):
        ae.add_requested_context(sop_class, transfer_syntax)
    return ae


def called(destination: Destination) -> str:
    """A destination in words: its name, AE title, host and port."""
    return f"{destination.name} ({destination.ae_title} at {destination.host}:{destination.port})"
