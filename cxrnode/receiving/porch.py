"""Where those who come over TLS are before the receiver takes them: each makes its handshake in its own thread."""

import ssl
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from socket import MSG_PEEK, socket
from time import monotonic

from cxrnode.errors import PeerUnavailable, SettingsError
from cxrnode.log import logger
from cxrnode.metrics import counts
from cxrnode.settings.certificates import Certificates, Tls
from cxrnode.tls import Connection, Context, context, told

LOG = logger("porch")
Alert = Callable[[str, str, str], None]
"""Is told who was turned away: the AE title, empty before there is one, the address and the reason."""
MOST_HANDSHAKES = 64
"""At a time, in all; one more, and the oldest of them is cut."""


class Porch:
    """The way in; counts whom it turned away, by reason. The files are read again when they change.

    A new certificate needs no new start.
    """

    def __init__(self, by: Certificates, alert: Alert = lambda *_: None, most: int = MOST_HANDSHAKES) -> None:
        """`most` handshakes at a time in this process. Raises SettingsError, as `context` does."""
        self._by, self._alert, self._most = by, alert, most
        self._lock = threading.Lock()
        self._entering: list[Connection] = []
        self._closed = False
        self._read, self._context = stamps(by), context(by, ssl.PROTOCOL_TLS_SERVER)
        self.refused: Counter[str] = Counter()

    def secured(self, plain: socket, address: str) -> Connection:
        """The connection, when both sides have shown their certificates. Raises PeerUnavailable with the reason."""
        try:
            connection = self._now().wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        except OSError as error:
            plain.close()
            raise self._refusal(told(error), address) from error
        assert isinstance(connection, Connection)  # noqa: S101  as its context says
        with self._lock:
            self._entering.append(connection)
            oldest = self._entering[0] if len(self._entering) > self._most else None
            late = connection if self._closed else oldest
        if late is not None:
            late.cut()
        try:
            self._shake_hands(connection)
        except (OSError, ValueError) as error:
            connection.cut()
            connection.close()
            raise self._refusal(told(error), address) from error
        except PeerUnavailable:
            connection.close()
            raise
        finally:
            with self._lock:
                self._entering.remove(connection)
        return connection

    def close(self) -> None:
        """Let nobody in any more; whoever is in the middle of it is cut."""
        with self._lock:
            self._closed, entering = True, self._entering.copy()
        for connection in entering:
            connection.cut()

    def _shake_hands(self, connection: Connection) -> None:
        """Raises OSError, and PeerUnavailable where nobody wanted in: some only look whether somebody listens."""
        until = monotonic() + self._by.handshake_timeout_s
        connection.settimeout(self._by.handshake_timeout_s)
        if not socket.recv(connection, 1, MSG_PEEK):
            raise PeerUnavailable("the connection ended before anything was said")
        connection.settimeout(max(until - monotonic(), 0.001))
        connection.do_handshake()

    def _refusal(self, reason: str, address: str) -> PeerUnavailable:
        with self._lock:
            self.refused[reason] += 1
        LOG.warning("handshake refused", reason=reason, address=address)
        counts.HANDSHAKES.inc()
        self._alert("", address, f"handshake refused: {reason}")
        return PeerUnavailable(f"{address}: {reason}")

    def _now(self) -> Context:
        """The rules by the files as they are; while those are wrong, by the files as they were."""
        with self._lock:
            if (stamp := stamps(self._by)) != self._read:
                self._read = stamp
                try:
                    self._context = context(self._by, ssl.PROTOCOL_TLS_SERVER)
                    LOG.info("certificates read again", file=self._by.certificate_file)
                except SettingsError as error:
                    LOG.error("certificates not read again", reason=str(error))
            return self._context


def require(by: Tls) -> None:
    """Read the files, where there are any, so that their faults are told at the start. Raises SettingsError."""
    if by:
        context(by, ssl.PROTOCOL_TLS_SERVER)


def stamps(by: Certificates) -> tuple[tuple[int, int, int], ...]:
    """What tells one state of the files from the next; of one that is not there, nothing."""
    found = []
    named = (by.certificate_file, by.key_file, by.key_password_file, by.ca_file, by.crl_file)
    for name in filter(None, named):  # "" would be the working folder
        with suppress(OSError):
            status = Path(name).stat()
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)
