"""A syslog collector for the tests: datagrams, or frames over TLS; it can be away, and want a certificate."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from select import select
from typing import Self

from tests.authority import Authority, Shown

WAIT_S = 20.0


@contextmanager
def datagrams() -> Iterator[socket.socket]:
    """A socket on loopback that takes them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taking:
        taking.bind(("127.0.0.1", 0))
        taking.settimeout(WAIT_S)
        yield taking


class Collector:
    """Frames by RFC 5425, from whoever connects; `rude` closes without the TLS farewell.

    `deaf` resets the connection with what came unread; `curt` ends its side before anything came, and takes nothing.
    """

    def __init__(self, shown: Shown, clients: Authority | None = None) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(shown.certificate, shown.key)
        if clients is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(clients.file)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.taken: list[bytes] = []
        self.versions: set[str | None] = set()
        self.rude = self.deaf = self.curt = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(WAIT_S)

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            with plain, suppress(OSError):
                plain.settimeout(WAIT_S)
                self._take(plain)

    def _take(self, plain: socket.socket) -> None:
        with closing(self._context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)) as way:
            self.versions.add(way.version())
            if self.curt:
                plain_end(way)
                return
            if self.deaf:
                select([way], [], [], WAIT_S)
                way.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return
            came = b""
            with suppress(ssl.SSLZeroReturnError, ssl.SSLEOFError):
                while piece := way.recv(65536):
                    came += piece
            while came:
                length, _, rest = came.partition(b" ")
                self.taken.append(rest[: int(length)])
                came = rest[int(length) :]
            if not self.rude:
                way.unwrap()


def plain_end(way: ssl.SSLSocket) -> None:
    """Say by TCP alone that nothing more comes, and read nothing until the other side has gone."""
    with socket.socket(fileno=os.dup(way.fileno())) as beneath:
        beneath.shutdown(socket.SHUT_WR)
        beneath.settimeout(WAIT_S)
        while beneath.recv(65536):
            pass
