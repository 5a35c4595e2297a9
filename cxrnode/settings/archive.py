"""Archive: a PACS that studies are fetched from, and how: by C-MOVE, by C-GET, or over DICOMweb."""

import ipaddress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from cxrnode.settings.certificates import Tls
from cxrnode.settings.destination import Destination
from cxrnode.settings.part import AeTitle, Host, Name, Part, Port, Positive

WEB_ALONE = ("url", "user", "password_file", "ca_file", "plain_http")
DIMSE_NEEDED = ("ae_title", "host", "port")
DIMSE_ALONE = (*DIMSE_NEEDED, "tls", "tls_name")


class Archive(Part):
    """A PACS that is searched and that studies are fetched from.

    With `retrieve` = "move" or "get" it is an AE title, host and port; with "web" the root of its DICOMweb services.
    """

    name: Name
    retrieve: Literal["move", "get", "web"] = "move"
    ae_title: AeTitle | None = None
    host: Host | None = None
    port: Port | None = None
    tls: Tls = False
    tls_name: str = ""
    url: str = ""
    user: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    plain_http: bool = False
    timeout_s: Positive = 60.0

    @field_validator("url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018  raises where it is no number
        except ValueError as error:
            raise ValueError("is no address; wanted https://HOST/PATH") from error
        if url and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError("is no web address; wanted https://HOST/PATH")
        if "@" in parts.netloc:
            raise ValueError("has a user or a password in it; wanted them in user and password_file")
        if parts.query or parts.fragment:
            raise ValueError("has more than a path; wanted the root of the DICOMweb services alone")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _whole(self) -> "Archive":
        wanted, unwanted = (("url",), DIMSE_ALONE) if self.retrieve == "web" else (DIMSE_NEEDED, WEB_ALONE)
        if absent := [name for name in wanted if not getattr(self, name)]:
            raise ValueError(f'{", ".join(absent)} absent; wanted with retrieve = "{self.retrieve}"')
        if useless := [name for name in unwanted if getattr(self, name)]:
            raise ValueError(f'{", ".join(useless)} given; of no use with retrieve = "{self.retrieve}"')
        if bool(self.user) != bool(self.password_file):
            raise ValueError("user and password_file go together; wanted both or neither")
        if self.url.startswith("http:") and not (self.plain_http or _here(self.url)):
            raise ValueError("url sends patients' names in clear text; wanted https, or plain_http = true")
        return self

    @property
    def peer(self) -> Destination:
        """Where it is called, when it is not asked over DICOMweb."""
        where: dict[str, Any] = {"ae_title": self.ae_title, "host": self.host, "port": self.port}
        where |= {"tls": self.tls, "tls_name": self.tls_name}
        return Destination.model_validate({"name": self.name, "timeout_s": self.timeout_s} | where)

    @property
    def where(self) -> str:
        """It in words: its name and where it is."""
        at = self.url or f"{self.ae_title} at {self.host}:{self.port}"
        return f"{self.name} ({at})"


def _here(url: str) -> bool:
    """Whether an address is of this machine alone."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
