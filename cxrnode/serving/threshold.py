"""The port of a receiver: it listens, and moves without a moment in which nobody does."""

import time
from collections.abc import Iterator
from contextlib import suppress
from socket import AF_INET, AF_INET6, SO_REUSEPORT, SOL_SOCKET, create_server, socket

from cxrnode.log import logger
from cxrnode.settings.listener import Listening

LOG = logger("threshold")
LOOK_EVERY_S = 0.2
"""How often it looks whether it has to end."""
BACKLOG = 128
"""Connections that wait until they are accepted."""


class Threshold:
    """Where connections come in: one socket, and while it moves, the one of before."""

    def __init__(self) -> None:
        self._here: socket | None = None
        self._before: socket | None = None
        self._at = ("", 0)

    def open(self, listener: Listening) -> None:
        """Listen there, as well as where it did before. Raises OSError when the port is taken."""
        at = (listener.host, listener.port)
        if at == self._at:
            return
        family = AF_INET6 if ":" in listener.host else AF_INET
        shared = listener.port == self._at[1] and self._here is not None
        if shared and self._here is not None:  # 0.0.0.0 and 10.1.2.3 have it in common
            self._here.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
        port = create_server(at, family=family, backlog=BACKLOG, reuse_port=shared)
        port.settimeout(LOOK_EVERY_S)
        self._before, self._at_before = self._here, self._at
        self._here, self._at = port, at

    def leave(self) -> Iterator[socket]:
        """Listen no more where it did before; the connections that had come in there."""
        if self._before is not None:
            self._before.settimeout(0)
            with suppress(OSError):
                while True:
                    yield self._before.accept()[0]
            self._before.close()
            self._before = None

    def keep(self) -> None:
        """Listen where it did before alone."""
        if self._before is not None and self._here is not None:
            self._here.close()
            self._here, self._at, self._before = self._before, self._at_before, None

    def accepted(self) -> socket:
        """The next connection. Raises TimeoutError when there was none for a while, or none can be taken just now."""
        assert self._here is not None  # noqa: S101  it is open
        try:
            return self._here.accept()[0]
        except TimeoutError:
            raise
        except OSError as error:
            LOG.warning("no connection taken", reason=error.strerror)
            time.sleep(LOOK_EVERY_S)
            raise TimeoutError from error

    def close(self) -> None:
        """Listen no more; in a process that was forked, that process alone."""
        for port in (self._here, self._before):
            if port is not None:
                port.close()
