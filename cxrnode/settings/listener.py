"""Listener: where associations are taken and by which rules; that of [receiving], and each of [[receivers]]."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

from pydantic import Field

from cxrnode.settings.certificates import ANY_NAME, Tls
from cxrnode.settings.part import AeTitle, Name, Part, Port, Positive
from cxrnode.settings.sender import Sender

MAIN = "receiving"
"""The name of the listener that the table [receiving] is."""
EVERY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104  told apart, not listened on


class Listening(Part):
    """What may differ between one receiver of a node and the next."""

    host: str = "127.0.0.1"
    port: Port = 11112
    senders: tuple[Sender, ...] = ()
    storage_classes: Literal["all"] | tuple[str, ...] = "all"
    processes: int = Field(default=0, ge=0, le=64)
    tls: Tls = False
    max_associations: int = Field(default=32, ge=1, le=1000)
    max_associations_per_sender: int = Field(default=8, ge=1, le=1000)
    largest_instance_mb: int = Field(default=1024, ge=1, le=1024)
    network_timeout_s: Positive = 60.0

    def seats_of(self, ae_title: str, address: str) -> int:
        """Associations at a time of this AE title at this address: its sender's own number, or that of all."""
        own = [one.max_associations for one in self.senders if one.max_associations and one.admits(ae_title, address)]
        return max(own, default=self.max_associations_per_sender)


class Listener(Listening):
    """A receiver: its name, the AE title that it is called by, and the port of its metrics, 0 for none."""

    name: Name
    port: Port
    ae_title: AeTitle
    metrics_port: int = Field(default=0, ge=0, le=65535)

    @property
    def called(self) -> str:
        """What its process is called."""
        return "receiver" if self.name == MAIN else f"receiver {self.name}"


def with_receiving(given: Any) -> Any:
    """The settings as they were given, with what each of `receivers` does not say taken from `receiving`.

    Its AE title is that of the node then; name and port it says itself, and a metrics port where it has one.
    """
    if not isinstance(given, dict) or not isinstance(given.get("receivers"), list | tuple):
        return given
    inherited = Listening.model_fields.keys() - {"port"}
    shared = {key: value for key, value in _table(given, "receiving").items() if key in inherited}
    shared |= {"ae_title": _table(given, "node").get("ae_title", "CXRNODE")}
    further = [shared | one if isinstance(one, dict) else one for one in given["receivers"]]
    return given | {"receivers": further}


def listener_faults(listeners: Sequence[Listener]) -> Iterator[str]:
    """Every way in which two receivers of a node are in one another's way, and one lets in whom it cannot know."""
    for one in listeners:
        yield from (
            f"receivers {one.name}: {sender.ae_title}, whose certificate is to have the name {sender.tls_name!r}, "
            "is let in without TLS; wanted tls = true there, or senders of its own"
            for sender in one.senders
            if not one.tls and not sender.return_tls and sender.tls_name not in {"", ANY_NAME}
        )
    for one, other in combinations(listeners, 2):
        both = f"receivers {one.name}, {other.name}"
        if one.name == other.name:
            yield f"{both} share a name; wanted one name each, none of them {MAIN!r}"
        hosts = {one.host, other.host}
        if one.port == other.port and (len(hosts) == 1 or hosts & EVERY_ADDRESS):
            yield f"{both} share port {one.port} of {one.host}; wanted a port each"
        if one.metrics_port and one.metrics_port == other.metrics_port:
            yield f"{both} share metrics port {one.metrics_port}; wanted one each, or 0"


def _table(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = given.get(name, {})
    return table.model_dump(exclude_unset=True) if isinstance(table, Part) else dict(table)
