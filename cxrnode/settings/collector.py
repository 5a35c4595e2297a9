"""Audit: where the audit trail is kept, and the syslog collector of the hospital that it is sent to."""

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from cxrnode.settings.part import Host, Part, Port, Positive


class Audit(Part):
    """The files of the trail, and with `syslog` = "udp" or "tls" who gets a copy of each message.

    `certificate_file` and `key_file` are this node's own, where the collector asks for one.
    """

    folder: str = ""
    syslog: Literal["off", "udp", "tls"] = "off"
    host: Host = ""
    port: Port = 6514
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    retry_s: Positive = 10.0

    @model_validator(mode="after")
    def _whole(self) -> "Audit":
        if (self.syslog == "off") == bool(self.host):
            wanted = "no host" if self.host else "the host of the collector"
            raise ValueError(f'host is {self.host or "absent"!r} with syslog = "{self.syslog}"; wanted {wanted}')
        if self.syslog == "udp" and (self.ca_file or self.certificate_file or self.key_file):
            raise ValueError('ca_file, certificate_file and key_file are of no use with syslog = "udp"')
        if self.key_file and not self.certificate_file:
            raise ValueError("key_file without certificate_file; wanted both, or the key in the certificate's file")
        return self

    @property
    def where(self) -> str:
        """The collector in words."""
        return f"{self.host}:{self.port} ({self.syslog})"
