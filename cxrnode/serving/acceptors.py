"""The processes that take associations: each connection is handed to the one that has the fewest.

A process of Python does one thing at a time, and sixteen senders of large images would wait for one another's turn.
When the settings are read anew, others take the new connections; those of before end with the last that they have.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from socket import AF_UNIX, MSG_DONTWAIT, SOCK_STREAM, recv_fds, send_fds, socket, socketpair
from typing import NoReturn

from cxrnode.log import logger

LOG = logger("acceptors")
PR_SET_PDEATHSIG = 1
GRACE_S = 10.0
"""So long one may take to end before it is killed; what it has not acknowledged is not kept then."""


class Hatch:
    """An acceptor's end: connections come in, and word of their end goes out."""

    def __init__(self, end: socket) -> None:
        self._end = end

    def connection(self) -> socket | None:
        """The next connection; None: there will be none any more."""
        while True:
            try:
                message, handles, _, _ = recv_fds(self._end, 1, 1)
            except ConnectionResetError:  # it was closed before word of an end was read there
                return None
            if handles or not message:
                return socket(fileno=handles[0]) if handles else None
            LOG.warning("no connection taken", reason="too many open files")  # the kernel has closed it
            self.ended()

    def ended(self) -> None:
        """Tell that one has ended."""
        with suppress(OSError):  # nobody hands out any more
            self._end.send(b"\0", MSG_DONTWAIT)


class Acceptor:
    """One of these processes, as its parent knows it."""

    def __init__(self, pid: int, end: socket) -> None:
        self.pid = pid
        self.end = end
        self._handed = 0

    def associations(self) -> int:
        """How many it has."""
        with suppress(BlockingIOError, ConnectionError):  # nothing new, or it was killed: then all will end soon
            self._handed -= len(self.end.recv(4096, MSG_DONTWAIT))
        return self._handed

    def take(self, connection: socket) -> None:
        """Hand it a connection. Raises OSError."""
        send_fds(self.end, [b"\0"], [connection.fileno()], MSG_DONTWAIT)
        self._handed += 1


class Acceptors:
    """All of them. They are forked before this process has threads, and end when it does."""

    def __init__(self, serve: Callable[[Hatch], None]) -> None:
        self._serve = serve
        self._all: list[Acceptor] = []
        self._leaving: list[Acceptor] = []
        self._gone: list[Acceptor] = []
        """those of before that were told to end"""

    def begin(self, count: int) -> None:
        """Have so many processes serve."""
        for _ in range(count):
            ours, its = socketpair(AF_UNIX, SOCK_STREAM)
            parent, pid = os.getpid(), os.fork()
            if pid == 0:
                ours.close()
                self.forget()
                self._be_one(parent, Hatch(its))
            its.close()
            self._all.append(Acceptor(pid, ours))

    def renew(self, count: int) -> None:
        """Have so many others serve from now on; those of before end with their last connection. Raises OSError."""
        before, self._leaving, self._all = self._all, self._leaving + self._all, []
        try:
            self.begin(count)
        except OSError:
            for acceptor in self._all:
                acceptor.end.close()
            self._gone += self._all
            self._leaving, self._all = [one for one in self._leaving if one not in before], before
            raise

    def forget(self) -> None:
        """In a process that was forked: a copy of an acceptor's socket would keep that one from its end."""
        for other in (*self._all, *self._leaving):
            other.end.close()

    def hand(self, connection: socket) -> None:
        """Give the connection to one of them; nothing of it is left here."""
        with connection:
            for acceptor in sorted(self._all, key=Acceptor.associations):
                with suppress(OSError):  # it hangs, or has died: then all will end soon
                    acceptor.take(connection)
                    return
        LOG.warning("connection closed", reason="no process takes it")

    def one_has_ended(self) -> bool:
        """Whether one of them is there no more; those of before that have no connection left are told to end."""
        idle = [one for one in self._leaving if one.associations() <= 0]
        for one in idle:
            one.end.close()
        self._gone = _there(self._gone + idle)
        self._leaving = [one for one in self._leaving if one not in idle]
        serving = len(self._all) + len(self._leaving)
        self._all, self._leaving = _there(self._all), _there(self._leaving)
        return len(self._all) + len(self._leaving) < serving

    def end(self) -> None:
        """Tell them to end, and wait until they have."""
        for acceptor in (*self._all, *self._leaving):
            acceptor.end.close()
        give_up = time.monotonic() + GRACE_S
        for acceptor in (*self._all, *self._leaving, *self._gone):
            wait_for(acceptor.pid, give_up)

    def _be_one(self, parent: int, hatch: Hatch) -> NoReturn:
        try:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # the parent says when
            end_with_parent(signal.SIGKILL)
            if os.getppid() == parent:
                self._serve(hatch)
        except BaseException as error:  # noqa: BLE001  nothing may get past here: it is a copy of the parent
            LOG.error("acceptor ended", reason=type(error).__name__)
            os._exit(1)
        os._exit(0)


def _there(acceptors: list[Acceptor]) -> list[Acceptor]:
    """Those of them that live."""
    return [one for one in acceptors if os.waitpid(one.pid, os.WNOHANG) == (0, 0)]


def wait_for(child: int, give_up: float) -> None:
    """Wait until this child has ended; at `give_up` (monotonic) it is killed: what it has not done lies on the disk."""
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > give_up:
            LOG.warning("killed", pid=child)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return
        time.sleep(0.01)


def end_with_parent(number: signal.Signals) -> None:
    """Get this signal when the parent dies, however it dies (prctl(2)); elsewhere than on Linux nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number))
