"""Audit messages as syslog (RFC 5424), in datagrams (RFC 5426) or over TLS (RFC 5425), as PS3.15 A.6 and A.7 want."""

import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from time import monotonic

from cxrnode.settings.collector import Audit

PRIORITY = 10 * 8 + 5
"""Facility 10, security, and severity 5, notice (PS3.15 A.6.1.1)."""
TIMEOUT_S = 10.0
MESSAGE_ID = "DICOM+RFC3881"
BOM = b"\xef\xbb\xbf"
AT, PROCESS = re.compile(rb'EventDateTime="([^"]+)"'), re.compile(rb'UserID="(\d{1,20})"')
LARGEST_DATAGRAM = 65507
REFUSED_WITHIN_S = 0.3
"""So soon a host says that nobody listens, where it does."""


def framed(line: bytes, host: str) -> bytes:
    """One message with its header (RFC 5424 6): the time is the event's, the process the one that it names."""
    at, process = AT.search(line), PROCESS.search(line)
    told = (
        at.group(1).decode("ascii").replace("+00:00", "Z") if at else "-",
        re.sub(r"[^\x21-\x7e]", "", host)[:255] or "-",
        "cxrnode",
        process.group(1).decode("ascii") if process else "-",
        MESSAGE_ID,
        "-",
    )
    return f"<{PRIORITY}>1 {' '.join(told)} ".encode("ascii") + BOM + line


def send(lines: Sequence[bytes], audit: Audit, host: str) -> None:
    """Send messages to the collector of the settings, all or none as far as one can know. Raises OSError.

    By TLS they count as taken when the collector has closed the connection in turn: until then it may not have read
    them. A datagram that nobody took is noticed only where the collector's host says so.
    """
    messages = [framed(line, host) for line in lines]
    if audit.syslog == "udp":
        _send_datagrams(messages, audit)
    else:
        _send_over_tls(messages, audit)


def tls_context(audit: Audit) -> ssl.SSLContext:
    """TLS 1.2 or later, the collector's name and certificate checked. Raises OSError where a file cannot be used."""
    context = ssl.create_default_context(cafile=audit.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if audit.certificate_file:
        context.load_cert_chain(audit.certificate_file, audit.key_file)
    return context


def reach(audit: Audit) -> str:
    """Say whether the collector can be reached, without telling it anything. Raises OSError."""
    if audit.syslog == "udp":
        socket.getaddrinfo(audit.host, audit.port, type=socket.SOCK_DGRAM)
        return "has an address; of a datagram nobody says whether it came"
    with _connected(audit):
        return "takes the connection"


def _send_datagrams(messages: Sequence[bytes], audit: Audit) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(audit.host, audit.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as way:
        way.settimeout(TIMEOUT_S)
        way.connect(address)
        for message in messages:
            way.send(message[:LARGEST_DATAGRAM])
        way.settimeout(REFUSED_WITHIN_S)
        with suppress(TimeoutError):
            way.recv(1)  # nothing comes but that nobody listens (ICMP)


def _send_over_tls(messages: Sequence[bytes], audit: Audit) -> None:
    with _connected(audit) as way:
        way.sendall(b"".join(b"%d %s" % (len(message), message) for message in messages))
        with suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):  # closed without a word (RFC 5425 4.4): all was read,
            way.unwrap()  # as what is closed unread is reset


@contextmanager
def _connected(audit: Audit) -> Iterator[ssl.SSLSocket]:
    """A connection on which both sides have taken each other's certificate."""
    context, began = tls_context(audit), monotonic()
    with (
        socket.create_connection((audit.host, audit.port), TIMEOUT_S) as plain,
        closing(context.wrap_socket(plain, server_hostname=audit.host)) as way,
    ):
        way.settimeout(max(REFUSED_WITHIN_S, 4 * (monotonic() - began)))
        with suppress(TimeoutError):  # TLS 1.3: that our certificate is not taken is heard after the handshake alone
            way.recv(1)
            raise ConnectionResetError("the collector said something before it was told anything")
        way.settimeout(TIMEOUT_S)
        yield way
