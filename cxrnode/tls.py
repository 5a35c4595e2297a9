"""DICOM over TLS 1.2 and later, both sides with a certificate (PS3.15 B.12: BCP 195, which is RFC 8996 and 9325).

What is wrapped is used as a plain socket is, flags of its calls included, so that nobody else need know. A handshake
is made in the connection's own thread and in a time: one that stalls keeps nobody waiting.
"""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import POLLIN, poll
from socket import MSG_DONTWAIT, MSG_WAITALL, SHUT_RDWR, socket
from time import monotonic
from typing import Any

from cxrnode.errors import SettingsError
from cxrnode.settings.certificates import ANY_NAME, Certificates

CIPHERS = ":".join(
    f"ECDHE-{signature}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384")
    for signature in ("ECDSA", "RSA")
)
"""Of TLS 1.2, those that RFC 9325 4.2 recommends; those of TLS 1.3 are OpenSSL's."""
REASONS = {
    "WRONG_VERSION_NUMBER": "what came is no TLS",
    "HTTP_REQUEST": "what came is no TLS",
    "UNSUPPORTED_PROTOCOL": "it has no TLS 1.2 or later",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it has no TLS 1.2 or later in common with this node",
    "NO_SHARED_CIPHER": "it has no cipher suite in common with this node",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it has no cipher suite in common with this node, or wants another certificate",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no certificate",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust this node's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not trust this node's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not trust this node's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it holds this node's certificate for expired",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of this node",
    "UNEXPECTED_EOF_WHILE_READING": "it ended the connection in the handshake",
}
"""By OpenSSL's name of the fault; a name that is not here is told as it is."""


class Connection(ssl.SSLSocket):
    """A connection over TLS; its timeout is that of each call as a whole, however it comes."""

    _sslobj: Any
    """the library's own: None before the handshake and after the end"""
    _ahead = b""
    """deciphered, to find out whether there is something, and not taken yet"""
    _reader = 0
    """the thread that reads, which alone may say goodbye: OpenSSL's connections are for one thread"""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  as the library has it
        """As the library does it; a fault is kept for whoever asks why there is no association."""
        with self._told():
            super().do_handshake(block)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Bytes, with MSG_WAITALL all of them unless the peer has ended. Raises OSError, TimeoutError."""
        buffer = bytearray(buflen)
        return bytes(memoryview(buffer)[: self.recv_into(buffer, buflen, flags)])

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Likewise, into a buffer; with MSG_DONTWAIT what is there. Raises BlockingIOError where nothing is."""
        room = memoryview(buffer)[: nbytes or None]
        self._reader = threading.get_ident()
        got = min(len(self._ahead), len(room))
        room[:got], self._ahead = self._ahead[:got], self._ahead[got:]
        if flags & MSG_DONTWAIT:
            return got + self._at_once(room[got:], needed=not got)
        if got and not flags & MSG_WAITALL:
            return got
        patience_s = self.gettimeout()
        until = monotonic() + patience_s if patience_s else None
        try:
            while got < len(room):
                came = self._read(room[got:])
                got += came
                if not came or not flags & MSG_WAITALL:
                    break
                if until is not None:
                    self.settimeout(max(until - monotonic(), 0.001))
        finally:
            self.settimeout(patience_s)
        return got

    def has_come(self, within_ms: int = 0) -> bool:
        """Whether there is something for a reader, be it the end; what lies in the socket may be TLS's own alone."""
        if self._ahead or self.pending():
            return True
        waiting = poll()
        waiting.register(self, POLLIN)
        if not waiting.poll(within_ms):
            return False
        byte = bytearray(1)
        try:
            self._ahead = bytes(byte[: self._at_once(memoryview(byte), needed=True)])
        except BlockingIOError:
            return False
        except OSError:
            return True  # which the reader will be told
        return True

    def shutdown(self, how: int) -> None:
        """End the connection, with a goodbye (RFC 8446 6.1) where nobody reads meanwhile.

        Unlike the library's own it does not go on without TLS: what is sent after SHUT_RD is enciphered as ever.
        """
        if how == SHUT_RDWR and self._sslobj is not None and self._reader == threading.get_ident():
            with suppress(OSError, ValueError), self._for(0):
                self._sslobj.shutdown()
        with suppress(OSError):  # the peer was quicker, and whoever ends this closes it next
            socket.shutdown(self, how)

    def cut(self) -> None:
        """End it from another thread, whatever it is in."""
        with suppress(OSError):
            socket.shutdown(self, SHUT_RDWR)

    def _at_once(self, room: memoryview, *, needed: bool) -> int:
        """What is there already. Raises BlockingIOError where nothing is and something is `needed`."""
        got = 0
        with self._for(0):
            while got < len(room):
                try:
                    came = self._read(room[got:])
                except ssl.SSLWantReadError:
                    if needed and not got:
                        raise BlockingIOError from None
                    break
                got += came
                if not came:
                    break
        return got

    def _read(self, room: memoryview) -> int:
        with self._told():
            return super().recv_into(room)

    @contextmanager
    def _for(self, seconds: float) -> Iterator[None]:
        before = self.gettimeout()
        self.settimeout(seconds)
        try:
            yield
        finally:
            self.settimeout(before)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except (ssl.SSLError, TimeoutError, ConnectionError) as error:
            if isinstance(self.context, Context) and not self.context.trouble:
                self.context.trouble = told(error)
            raise


class Context(ssl.SSLContext):
    """The rules for connections of one kind; of one that calls, for one connection, with what went wrong."""

    sslsocket_class = Connection
    trouble = ""


def context(by: Certificates, side: int) -> Context:
    """The rules of a side (ssl.PROTOCOL_TLS_SERVER or _CLIENT), read from the files. Raises SettingsError."""
    rules = Context(side)
    rules.minimum_version = ssl.TLSVersion.TLSv1_2
    rules.set_ciphers(CIPHERS)
    rules.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    rules.verify_mode = ssl.CERT_REQUIRED
    if side == ssl.PROTOCOL_TLS_SERVER:
        rules.num_tickets = 0  # nobody comes back to an association
    with _named(f"tls.ca_file = {by.ca_file!r}", "certificates of authorities as PEM"):
        rules.load_verify_locations(by.ca_file)
    if by.crl_file:
        with _named(f"tls.crl_file = {by.crl_file!r}", "the authorities' lists of revoked certificates as PEM"):
            rules.load_verify_locations(by.crl_file)
        rules.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    password = _password(by)
    wanted = "a certificate and its own key as PEM, and its password where it has one"
    with _named(f"tls.certificate_file = {by.certificate_file!r}, key_file = {by.key_file!r}", wanted):
        rules.load_cert_chain(by.certificate_file, by.key_file, password=lambda: password)
    return rules


def calling(by: Certificates, host: str, name: str) -> tuple[Context, str | None]:
    """The rules for one call, and the name that the certificate of who is called must have (None: whichever)."""
    rules = context(by, ssl.PROTOCOL_TLS_CLIENT)
    wanted = None if name == ANY_NAME else name or host
    rules.check_hostname = wanted is not None
    return rules, wanted


def has_come(connection: socket) -> Callable[[int], bool]:
    """Tells whether a connection has something to be read within so many milliseconds, over TLS or not."""
    if isinstance(connection, Connection):
        return connection.has_come
    waiting = poll()
    waiting.register(connection, POLLIN)
    return lambda within_ms: bool(waiting.poll(within_ms))


def names_of(connection: Any) -> frozenset[str]:
    """The names in a peer's certificate, in small letters (RFC 9525); none without TLS, or when it has ended."""
    if not isinstance(connection, Connection):
        return frozenset()
    shown: Any = connection.getpeercert() or {}
    alternative = [value for kind, value in shown.get("subjectAltName", ()) if kind in {"DNS", "IP Address"}]
    common = [value for part in shown.get("subject", ()) for kind, value in part if kind == "commonName"]
    return frozenset(name.lower() for name in alternative or common)


def told(error: BaseException) -> str:
    """What went wrong with a handshake, in words that quote nothing of what came but of a certificate."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{REASONS['CERTIFICATE_VERIFY_FAILED']}: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return REASONS.get(error.reason or "", error.reason or type(error).__name__)
    if isinstance(error, TimeoutError):
        return "the handshake was not whole in its time"
    return REASONS["UNEXPECTED_EOF_WHILE_READING"] if isinstance(error, OSError) else type(error).__name__


def _password(by: Certificates) -> bytes:
    """The key's; empty where it has none, so that nobody is asked for it at a terminal. Raises SettingsError."""
    if not by.key_password_file:
        return b""
    with _named(f"tls.key_password_file = {by.key_password_file!r}", "the key's password alone"):
        return Path(by.key_password_file).read_bytes().strip(b"\r\n")


@contextmanager
def _named(what: str, wanted: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        raise SettingsError(f"{what}: {error.reason or 'cannot be used'}; wanted {wanted}") from error
    except OSError as error:
        raise SettingsError(f"{what}: cannot be read ({error.strerror}); wanted {wanted}") from error
