"""Every peer as it will be used: destinations, senders that are asked, archives."""

from pydicom.uid import UID

from cxrnode.deliver import echo, not_taken, offers_commitment
from cxrnode.errors import PeerRefused
from cxrnode.peers.calling import SOP_CLASS_NOT_SUPPORTED
from cxrnode.peers.find import resolve
from cxrnode.peers.query import answers_queries
from cxrnode.peers.retrieve import not_offered
from cxrnode.results.series import SERIES
from cxrnode.settings import Settings
from cxrnode.settings.archive import Archive
from cxrnode.settings.destination import Destination
from cxrnode.settings.sender import Sender

NO_STUDY = "2.25.18446744073709551616"


def to_destination(settings: Settings, destination: Destination) -> str:
    """Of one that stands for the senders, each that has one address: which of a network's it will be nobody knows.

    Raises PeerUnavailable and PeerRefused.
    """
    if not destination.return_to_sender:
        return _peer(settings, destination)
    found = []
    for sender in settings.senders:
        if sender.return_port is None:
            found.append(f"nothing can be sent to {sender.ae_title}: no return_port")
            continue
        found += [_peer(settings, destination.at(sender.source(host))) for host in sender.hosts]
        if len(sender.hosts) < len(sender.addresses):
            found.append(f"{sender.called} at whichever of {', '.join(sender.addresses)} it sends from: not tried")
    return "; ".join(found) or "no sender is listed in receiving.senders: nothing can be sent"


def _peer(settings: Settings, destination: Destination) -> str:
    echo(destination, settings.node.ae_title)
    classes = {family: SERIES[family].sop_class_uid for family in destination.send.families}
    refused = not_taken(destination, settings.node.ae_title, set(classes.values())) if classes else []
    if refused:
        named = ", ".join(f"{family} ({UID(uid).name})" for family, uid in classes.items() if uid in refused)
        told = f"{destination.name} answers C-ECHO, but does not take {named}; wanted all that its send table names"
        raise PeerRefused(told, SOP_CLASS_NOT_SUPPORTED)
    taken = ", ".join(classes) or "nothing"
    committing = _commitment(settings, destination)
    where = f"{destination.ae_title} at {destination.host}:{destination.port}{' over TLS' if destination.tls else ''}"
    return f"{where} answers C-ECHO and takes {taken}; {committing}"


def to_source(settings: Settings, sender: Sender) -> str:
    """A sender that is asked how many instances a study has. Raises PeerUnavailable and PeerRefused."""
    if not len(sender.hosts) == len(sender.addresses) == 1:
        return "not looked at: it may call from several addresses, and is asked at the one that a study came from"
    source = sender.source(sender.hosts[0])
    echo(source, settings.node.ae_title)
    where = f"{source.ae_title} at {source.host}:{source.port}"
    if not answers_queries(source, settings.node.ae_title):
        raise PeerRefused(f"{where} answers C-ECHO, but takes no C-FIND (Study Root)", SOP_CLASS_NOT_SUPPORTED)
    return f"{where} answers C-ECHO and takes C-FIND"


def to_archive(settings: Settings, archive: Archive) -> str:
    """Asked for a study that there is not, as a PACS may take the question and answer only whom it knows.

    Raises PeerUnavailable and PeerRefused.
    """
    services = "a search"
    if archive.retrieve != "web":
        echo(archive.peer, settings.node.ae_title)
        if absent := not_offered(archive, settings.node.ae_title):
            told = f"{archive.where} answers C-ECHO, but does not offer {', '.join(absent)}"
            raise PeerRefused(told, SOP_CLASS_NOT_SUPPORTED)
        services = f"C-ECHO and C-FIND, and offers C-{archive.retrieve.upper()}"
    for _ in resolve(archive, settings.node.ae_title, [NO_STUDY]):
        pass
    return f"{archive.where} answers {services}"


def _commitment(settings: Settings, destination: Destination) -> str:
    if destination.commitment == "off":
        return "it is not asked for storage commitment"
    if offers_commitment(destination, settings.node.ae_title):
        return "it offers storage commitment"
    if destination.commitment == "required":
        told = f"{destination.name} offers no storage commitment; wanted it, as commitment is required"
        raise PeerRefused(told, SOP_CLASS_NOT_SUPPORTED)
    return "it offers no storage commitment: accepted is the last word"
