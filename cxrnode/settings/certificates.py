"""Certificates: the one that this node shows over TLS, its key, and those that it trusts."""

from collections.abc import Mapping
from typing import Any, Literal

from cxrnode.settings.part import Part, Positive


class Certificates(Part):
    """Files as PEM: this node's certificate with those between it and its authority, its key, whom it trusts.

    `key_password_file` has the key's password alone, where it has one; `crl_file` lists what was revoked.
    """

    certificate_file: str = ""
    key_file: str = ""
    key_password_file: str = ""
    ca_file: str = ""
    crl_file: str = ""
    handshake_timeout_s: Positive = 10.0

    @property
    def absent(self) -> list[str]:
        """Which of the files that are needed are not named."""
        return [name for name in ("certificate_file", "key_file", "ca_file") if not getattr(self, name)]


Tls = Literal[False] | Certificates
"""Of a peer or the receiver: without TLS, or with it and by these. `true` in a settings file is the table [tls]."""
ANY_NAME = "*"
"""As the name in a peer's certificate: whichever, of those that are trusted."""


def with_shared_certificates(given: Any) -> Any:
    """The settings as they were given, with `tls = true`, wherever it stands, made the table [tls]."""
    if not isinstance(given, dict):
        return given
    shared = given.get("tls", {})
    lists = {key: given[key] for key in ("destinations", "archives") if isinstance(given.get(key), list | tuple)}
    peers = {key: [_with(shared, one) for one in listed] for key, listed in lists.items()}
    if isinstance(further := given.get("receivers"), list | tuple):
        peers["receivers"] = [_received(shared, one) for one in further]
    return given | {"receiving": _received(shared, given.get("receiving", {}))} | peers


def absent_files(over: Mapping[str, Tls]) -> list[str]:
    """A fault for each who is to speak TLS, with files that are not named."""
    return [
        f"{who}: tls = true, and {', '.join(by.absent)} is not named; wanted it in the table [tls]"
        for who, by in over.items()
        if by and by.absent
    ]


def _received(shared: Any, given: Any) -> Any:
    """A receiver, and its senders, that are called back."""
    receiver = _with(shared, given)
    if not isinstance(receiver, dict) or not isinstance(senders := receiver.get("senders"), list | tuple):
        return receiver
    return receiver | {"senders": [_with(shared, one, "return_tls") for one in senders]}


def _with(shared: Any, given: Any, key: str = "tls") -> Any:
    if not isinstance(given, Mapping) or not isinstance(shared, Mapping):
        return given
    own = given.get(key, False)
    if own is True:
        return {**given, key: dict(shared)}
    return {**given, key: {**shared, **own}} if isinstance(own, Mapping) else given
