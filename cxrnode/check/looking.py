"""What is looked at, in order; each look tells a sentence, or what is wrong and what was wanted."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cxrnode.check import disks, modes, passwords, peers, ports, stores, weights
from cxrnode.errors import CxrNodeError
from cxrnode.settings import Settings
from cxrnode.settings.certificates import Certificates
from cxrnode.validity import looked_at


@dataclass(frozen=True)
class Result:
    """One thing looked at, whether it is well, and a sentence."""

    what: str
    well: bool
    told: str


def check(settings: Settings, *, as_json: bool) -> bool:
    """Look at everything, print what was found, and say whether all is well."""
    results = [look_at(what, look) for what, look in looks(settings)]
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
        ("settings", partial(_settings, settings)),
        ("disk", partial(disks.disks, settings)),
        ("permissions", partial(modes.permissions, settings)),
        *ports.ports(settings),
        ("Flower's password", partial(passwords.of_flower, settings)),
        ("ledger", partial(stores.of_ledger, settings)),
        ("broker", partial(stores.of_broker, settings)),
        ("clock", partial(stores.clocks, settings, partial(datetime.now, UTC))),
        ("audit", partial(stores.of_trail, settings)),
        ("weights", partial(weights.weights, settings)),
    ]
    return [*found, *_certificates(settings), *_peers(settings)]


def look_at(what: str, look: Callable[[], str]) -> Result:
    """Look, and have what was found as a result."""
    try:
        return Result(what, well=True, told=look())
    except (CxrNodeError, OSError) as error:
        return Result(what, well=False, told=str(error))


def _settings(settings: Settings) -> str:
    senders = len(settings.senders)
    peers_of = f"{len(settings.destinations)} destinations, {senders} senders"
    return f"read; {peers_of}, {len(settings.routes)} routes, {len(settings.archives)} archives"


def _certificates(settings: Settings) -> list[tuple[str, Callable[[], str]]]:
    used = {one.tls for one in settings.listeners} | {one.return_tls for one in settings.senders}
    used |= {one.tls for one in settings.destinations} | {one.tls for one in settings.archives}
    shown = [(f"certificate {Path(by.certificate_file).name}", partial(_certificate, by)) for by in used if by]
    return sorted(shown, key=itemgetter(0))


def _certificate(by: Certificates) -> str:
    return looked_at(by, datetime.now(UTC))


def _peers(settings: Settings) -> list[tuple[str, Callable[[], str]]]:
    asked = [sender for sender in settings.senders if sender.query]
    return [
        *((f"destination {one.name}", partial(peers.to_destination, settings, one)) for one in settings.destinations),
        *((f"source {one.ae_title}", partial(peers.to_source, settings, one)) for one in asked),
        *((f"archive {one.name}", partial(peers.to_archive, settings, one)) for one in settings.archives),
    ]
