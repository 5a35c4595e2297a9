"""What is wrong before starting: disk, ledger, broker, clocks, weights, the receiver's address, every peer."""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from pathlib import Path

from pydicom.uid import UID
from rich.console import Console
from rich.table import Table

from cxrnode import broker
from cxrnode.archive import Archive
from cxrnode.audit.recorder import folder_of
from cxrnode.audit.syslog import reach
from cxrnode.calling import SOP_CLASS_NOT_SUPPORTED
from cxrnode.certificates import Certificates
from cxrnode.deliver import echo, not_taken, offers_commitment
from cxrnode.destination import Destination
from cxrnode.errors import AuditUnavailable, CxrNodeError, PeerRefused, SettingsError
from cxrnode.find import resolve
from cxrnode.jobs import QUEUES, Jobs
from cxrnode.ledger import Ledger, clock
from cxrnode.ledger.roundlines import round_lines
from cxrnode.query import answers_queries
from cxrnode.results.series import SERIES
from cxrnode.retrieve import not_offered
from cxrnode.routing import choices
from cxrnode.sender import Sender
from cxrnode.settings import Settings
from cxrnode.spool import Spool
from cxrnode.validity import looked_at, open_to_others

APART_S = 60.0
"""So far this clock may be from those of ledger and broker."""
NO_STUDY = "2.25.18446744073709551616"


@dataclass(frozen=True)
class Result:
    """One thing looked at, whether it is well, and a sentence."""

    what: str
    well: bool
    told: str


def check(settings: Settings, *, as_json: bool) -> bool:
    """Look at everything, print what was found, and say whether all is well."""
    results = [_look(what, look) for what, look in looks(settings)]
    if as_json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    else:
        table = Table("what", "", "found", title="cxrnode check")
        for result in results:
            table.add_row(result.what, "[green]ok[/]" if result.well else "[red]wrong[/]", result.told)
        Console().print(table)
    return all(result.well for result in results)


def looks(settings: Settings) -> list[tuple[str, Callable[[], str]]]:
    """What is looked at, in order; each look returns a sentence or raises."""
    found: list[tuple[str, Callable[[], str]]] = [
        (
            "settings",
            lambda: (
                f"read; {len(settings.destinations)} destinations, {len(settings.receiving.senders)} senders, "
                f"{len(settings.routes)} routes, {len(settings.archives)} archives"
            ),
        ),
        ("disk", lambda: _disk(settings)),
        ("permissions", lambda: _permissions(settings)),
        ("receiver", lambda: _address(settings)),
        ("ledger", lambda: _ledger(settings)),
        ("broker", lambda: _broker(settings)),
        ("clock", lambda: _clock(settings, partial(datetime.now, UTC))),
        ("audit", lambda: _audit(settings)),
        ("weights", lambda: _weights(settings)),
    ]
    used = {settings.receiving.tls} | {one.return_tls for one in settings.receiving.senders}
    used |= {one.tls for one in settings.destinations} | {one.tls for one in settings.archives}
    shown = [(f"certificate {Path(by.certificate_file).name}", partial(_certificate, by)) for by in used if by]
    to_destinations = [
        (f"destination {destination.name}", partial(_destination, settings, destination))
        for destination in settings.destinations
    ]
    sources = [
        (f"source {sender.ae_title}", partial(_source, settings, sender))
        for sender in settings.receiving.senders
        if sender.query
    ]
    archives = [(f"archive {archive.name}", partial(_archive, settings, archive)) for archive in settings.archives]
    return [*found, *sorted(shown, key=itemgetter(0)), *to_destinations, *sources, *archives]


def _look(what: str, look: Callable[[], str]) -> Result:
    try:
        return Result(what, well=True, told=look())
    except (CxrNodeError, OSError) as error:
        return Result(what, well=False, told=str(error))


def _disk(settings: Settings) -> str:
    Spool(settings.node.spool_dir, settings.receiving.reserve_gb).require_room()
    return f"room under {settings.node.spool_dir}, above the reserve of {settings.receiving.reserve_gb:g} GB"


def _permissions(settings: Settings) -> str:
    """Of the state folder and what lies in it, where it is there yet, and of the files with secrets."""
    state = settings.node.state_dir
    kept = [state, *state.iterdir()] if state.is_dir() else []
    named = [settings.queue.password_file, settings.flower.password_file]
    named += [str(one.password_file or "") for one in settings.archives]
    if faults := list(open_to_others([*kept, *(Path(file) for file in named if file)])):
        raise SettingsError("; ".join(faults))
    return f"{state} and the files with passwords are for this user alone"


def _address(settings: Settings) -> str:
    where = f"{settings.receiving.host}:{settings.receiving.port}"
    with socket.create_server((settings.receiving.host, settings.receiving.port)):
        return f"{where} is free; {settings.node.ae_title} will listen there"


def _certificate(by: Certificates) -> str:
    return looked_at(by, datetime.now(UTC))


def _ledger(settings: Settings) -> str:
    ledger = Ledger(settings.ledger_url)
    round_lines(ledger, 1)
    ledger.close()
    return "opened and read"


def _broker(settings: Settings) -> str:
    if settings.queue.broker_url:
        return f"answers; {sum(Jobs(settings.broker_url).waiting(*QUEUES))} tasks wait"
    return f"embedded: cxrnode up starts {broker.command(settings.node.run_dir)[0].rpartition('/')[2]}"


def _clock(settings: Settings, now: Callable[[], datetime]) -> str:
    """Against those of ledger and broker: leases and retries are measured from moments that other hosts noted."""
    ledger, apart = Ledger(settings.ledger_url), {}
    if (at := clock.server(ledger)) is not None:
        apart["ledger"] = abs(now() - at).total_seconds()
    ledger.close()
    if settings.queue.broker_url:
        apart["broker"] = abs(Jobs(settings.broker_url).clock() - now()).total_seconds()
    told = "".join(f", the {whose}'s {seconds:.1f} s from it" for whose, seconds in apart.items())
    if max(apart.values(), default=0) > APART_S:
        raise SettingsError(f"this clock says {now():%H:%M:%S} UTC{told}; wanted {APART_S:g} s at the most")
    return f"{now():%Y-%m-%d %H:%M:%S} UTC{told}"


def _audit(settings: Settings) -> str:
    """Nothing is written: where the folder is not there yet, the first of those above it that is has to be ours."""
    folder = folder_of(settings)
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise AuditUnavailable(f"{there} cannot be written; wanted a folder for the audit trail")
    if settings.audit.syslog == "off":
        return f"kept in {folder}, sent to no collector"
    return f"kept in {folder}; {settings.audit.where} {reach(settings.audit)}"


def _weights(settings: Settings) -> str:
    from models.card import find
    from models.ensemblecard import card_of
    from models.gatecard import check_gate
    from models.lungcard import check_lungs

    found = []
    for choice in choices(settings):
        card = card_of(find(choice.model, settings.model.zoo))
        at = f" at {card.algorithm(choice.prevalence).prevalence:g} prevalence" if choice.prevalence else ""
        found.append(f"{card.name} {card.version}{at}: the weights are those on the card")
    found.append(check_gate(settings.rules.gate, settings.model.zoo))
    found.append(check_lungs(settings.model.lungs, settings.model.zoo))
    return "; ".join(found)


def _destination(settings: Settings, destination: Destination) -> str:
    """Of one that stands for the senders, each that has one address: which of a network's it will be nobody knows."""
    if not destination.return_to_sender:
        return _peer(settings, destination)
    found = []
    for sender in settings.receiving.senders:
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


def _source(settings: Settings, sender: Sender) -> str:
    if not len(sender.hosts) == len(sender.addresses) == 1:
        return "not looked at: it may call from several addresses, and is asked at the one that a study came from"
    source = sender.source(sender.hosts[0])
    echo(source, settings.node.ae_title)
    where = f"{source.ae_title} at {source.host}:{source.port}"
    if not answers_queries(source, settings.node.ae_title):
        raise PeerRefused(f"{where} answers C-ECHO, but takes no C-FIND (Study Root)", SOP_CLASS_NOT_SUPPORTED)
    return f"{where} answers C-ECHO and takes C-FIND"


def _archive(settings: Settings, archive: Archive) -> str:
    """Asked for a study that there is not, as a PACS may take the question and answer only whom it knows."""
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
