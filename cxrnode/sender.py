"""Sender: who may send to this node, and where it is called back where results go to whoever sent the study."""

import ipaddress

from pydantic import Field, field_validator, model_validator

from cxrnode.destination import Destination
from cxrnode.part import AeTitle, Part, Port, Positive


class Sender(Part):
    """A modality or PACS that may send to this node: its AE title and the addresses it may come from.

    With `return_port` results can go back to it, at the address that it came from, under `return_ae_title` (absent:
    its own). With `query` it is asked there how many instances of a study it has. With `stat` all it sends is STAT.
    """

    ae_title: AeTitle
    addresses: tuple[str, ...] = Field(min_length=1)
    return_port: Port | None = None
    return_ae_title: AeTitle | None = None
    query: bool = False
    query_timeout_s: Positive = 10.0
    stat: bool = False

    @field_validator("addresses")
    @classmethod
    def _networks(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            ipaddress.ip_network(address, strict=False)
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
        here = ipaddress.ip_address(address)
        return any(here in ipaddress.ip_network(network, strict=False) for network in self.addresses)

    def source(self, address: str) -> Destination:
        """Where it is asked, when it calls from this address."""
        where = {"ae_title": self.called, "host": address, "port": self.return_port}
        return Destination.model_validate({"name": "source", "timeout_s": self.query_timeout_s} | where)

    @property
    def hosts(self) -> list[str]:
        """Those of its addresses that are of one machine, not of a network."""
        networks = (ipaddress.ip_network(network, strict=False) for network in self.addresses)
        return [str(one.network_address) for one in networks if one.num_addresses == 1]
