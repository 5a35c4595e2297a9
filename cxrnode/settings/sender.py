"""Sender: who may send to this node, and where it is called back where results go to whoever sent the study."""

import ipaddress
from collections.abc import Collection
from typing import Any

from pydantic import Field, field_validator, model_validator

from cxrnode.settings.certificates import ANY_NAME, Tls
from cxrnode.settings.destination import Destination
from cxrnode.settings.part import AeTitle, Part, Port, Positive


class Sender(Part):
    """A modality or PACS that may send to this node: its AE title and the addresses it may come from.

    With `return_port` results can go back to it, at the address that it came from, under `return_ae_title` (absent:
    its own), over TLS with `return_tls`. `tls_name` is the name in its certificate. `max_associations` are its seats at
    each of its addresses. With `query` it is asked there how many instances of a study it has. With `stat` all it sends
    is STAT.
    """

    ae_title: AeTitle
    addresses: tuple[str, ...] = Field(min_length=1)
    return_port: Port | None = None
    return_ae_title: AeTitle | None = None
    return_tls: Tls = False
    tls_name: str = ""
    max_associations: int | None = Field(default=None, ge=1, le=1000)
    query: bool = False
    query_timeout_s: Positive = 10.0
    stat: bool = False

    @field_validator("addresses")
    @classmethod
    def _networks(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            try:
                ipaddress.ip_network(address)
            except ValueError as error:
                near = _network_of(address)
                wanted = f"wanted {near}, or the address alone" if near else "wanted 10.1.2.3 or 10.1.2.0/24"
                raise ValueError(f"{error}; {wanted}") from error
        return addresses

    @model_validator(mode="after")
    def _can_be_asked(self) -> "Sender":
        if self.query and self.return_port is None:
            raise ValueError("query = true without return_port; wanted the port on which it answers C-FIND")
        return self

    @property
    def called(self) -> str:
        """The AE title by which it is called back, and calls when it reports on storage commitment."""
        return self.return_ae_title or self.ae_title

    def admits(self, ae_title: str, address: str) -> bool:
        """Whether an association from this AE title and address is this sender's."""
        return ae_title == self.ae_title and self.is_at(address)

    def is_at(self, address: str) -> bool:
        """Whether this is one of its addresses."""
        here = plain(address)
        return any(here in ipaddress.ip_network(network, strict=False) for network in self.addresses)

    def source(self, address: str) -> Destination:
        """Where it is called back, when it calls from this address."""
        where: dict[str, Any] = {"ae_title": self.called, "host": address, "port": self.return_port}
        where |= {"tls": self.return_tls, "tls_name": self.tls_name}
        return Destination.model_validate({"name": "source", "timeout_s": self.query_timeout_s} | where)

    def is_named(self, names: Collection[str]) -> bool:
        """Whether a certificate of these names may be this sender's: one is `tls_name`, where that is set."""
        return self.tls_name in {"", ANY_NAME} or self.tls_name.lower() in names

    @property
    def hosts(self) -> list[str]:
        """Those of its addresses that are of one machine, not of a network."""
        networks = (ipaddress.ip_network(network, strict=False) for network in self.addresses)
        return [str(one.network_address) for one in networks if one.num_addresses == 1]


def plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address as settings have it: one of IPv4 comes as ::ffff:10.1.2.3 where the receiver listens on IPv6."""
    here = ipaddress.ip_address(address)
    return getattr(here, "ipv4_mapped", None) or here


def _network_of(address: str) -> str:
    """The network that an address with a length of prefix lies in, empty where it is neither."""
    try:
        return str(ipaddress.ip_network(address, strict=False))
    except ValueError:
        return ""
