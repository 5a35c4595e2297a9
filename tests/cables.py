"""What lies between this node and a peer: a listener that never answers, and a cable that is cut on request."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@contextmanager
def listening(take: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on loopback whose connections are taken in a thread; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=take, args=(server,), daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@dataclass
class Mute:
    """Takes connections on loopback and never says a word."""

    port: int = 0
    calls: int = 0
    _open: list[socket.socket] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator["Mute"]:
        """Listen inside."""
        try:
            with listening(self._take) as self.port:
                yield self
        finally:
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
        with listening(self._take) as self.port:
            yield self

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
