"""What lies between this node and a peer: a listener that never answers, and a cable that is cut on request."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Mute:
    """Takes connections on loopback and never says a word."""

    port: int = 0
    calls: int = 0
    _open: list[socket.socket] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator["Mute"]:
        """Listen inside."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
            thread = threading.Thread(target=self._take, args=(server,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown(socket.SHUT_RDWR)
                thread.join()
                for one in self._open:
                    one.close()

    def _take(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                self._open.append(server.accept()[0])
                self.calls += 1


@dataclass
class Cable:
    """Carries bytes to a port on loopback and back, and is cut for good after so many bytes of one direction.

    The first `cuts` associations are cut; None: a direction is never cut. With `swallow` what comes back after the
    cut is read and thrown away first, so that the peer believes that it was heard.
    """

    to_port: int
    there: int | None = None
    back: int | None = None
    cuts: int = 1
    port: int = 0
    calls: int = 0

    @contextmanager
    def laid(self) -> Iterator["Cable"]:
        """Carry inside."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
            thread = threading.Thread(target=self._take, args=(server,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown(socket.SHUT_RDWR)
                thread.join()

    def _take(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near = server.accept()[0]
                self.calls += 1
                far = socket.create_connection(("127.0.0.1", self.to_port))
                cut = self.calls <= self.cuts
                for source, sink, limit in ((near, far, self.there), (far, near, self.back)):
                    threading.Thread(target=_carry, args=(source, sink, limit if cut else None), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    """Until either end closes, or `limit` bytes have gone through: then both ends are closed."""
    carried = 0
    with suppress(OSError):
        while got := source.recv(65536):
            if limit is not None and carried + len(got) > limit:
                sink.sendall(got[: limit - carried])
                break
            sink.sendall(got)
            carried += len(got)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
