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
    """Carries bytes to a port on loopback and back; `there` or `back` is cut for good after so many bytes.

    Only the first `cuts` connections are cut; `carried` has how many bytes the last one carried there and back.
    """

    to_port: int
    there: int | None = None
    back: int | None = None
    cuts: int = 0
    port: int = 0
    calls: int = 0
    carried: list[int] = field(default_factory=lambda: [0, 0])

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
                self.carried = [0, 0]
                far = socket.create_connection(("127.0.0.1", self.to_port))
                limits = (self.there, self.back) if self.calls <= self.cuts else (None, None)
                for way, (source, sink) in enumerate(((near, far), (far, near))):
                    arguments = (way, source, sink, limits[way], self.carried)
                    threading.Thread(target=_carry, args=arguments, daemon=True).start()


def _carry(way: int, source: socket.socket, sink: socket.socket, limit: int | None, carried: list[int]) -> None:
    """Until either end closes, or `limit` bytes have gone through: then both ends are closed."""
    with suppress(OSError):
        while got := source.recv(65536):
            passing = got if limit is None else got[: limit - carried[way]]
            carried[way] += len(passing)
            sink.sendall(passing)
            if carried[way] == limit:
                break
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
