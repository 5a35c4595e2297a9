"""How long and how much a peer may hold of the receiver: a PDU, a message, a connection, a seat.

pynetdicom waits for ever within a PDU, takes messages of any length, and counts connections that never asked for an
association as associations. What it has no setting for is put right at the events it offers.
"""

import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import (
    IPPROTO_TCP,
    MSG_WAITALL,
    SHUT_RD,
    SHUT_RDWR,
    SO_RCVTIMEO,
    SO_SNDTIMEO,
    SOL_SOCKET,
    TCP_NODELAY,
    TCP_QUICKACK,
    socket,
)
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.events import Event

from cxrnode.faultpoints import Point, reached
from cxrnode.log import logger
from cxrnode.receiving.seats import NoSeatError, Seats
from cxrnode.settings.listener import Listening
from cxrnode.tls import Connection

LOG = logger("doorway")
LARGEST_PDU = 2**20
"""Bytes, as announced (PS3.8 D.1); a PDU must be whole within `receiving.network_timeout_s`."""
MOST_WAITING = 64
"""Connections in all that have not asked for an association yet; one more, and the oldest is closed."""
MOST_UNANSWERED = 4
"""Messages sent ahead of our answer: no asynchronous operations are negotiated, so an honest peer sends one."""
MB = 2**20
LARGEST_MESSAGE = 16 * MB
"""Bytes of a message that pynetdicom gathers in memory: the report of a commitment has some 130 for each object."""


class Doorway:
    """Who is in, who waits, and what becomes of one that overstays or overloads.

    One for each process that takes associations, over seats that they share; `ended` is told of each connection's end.
    """

    def __init__(
        self,
        settings: Listening,
        seats: Seats | None = None,
        processes: int = 1,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._seats = seats or Seats(settings.max_associations)
        self.ended, self.most_waiting = ended, max(1, MOST_WAITING // processes)
        self._lock = threading.Lock()
        self._waiting: list[Association] = []
        self._seated: dict[Association, int] = {}

    def on_open(self, event: Event) -> None:
        """Give the connection its limits, and close the one that has waited longest when too many wait."""
        thread: Any = event.assoc
        thread.run = partial(self._run, event.assoc, thread.run)
        connection: Any = event.assoc.dul.socket  # pynetdicom's, round the socket itself
        connection.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # else small objects wait for delayed ones
        connection.socket.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 1)  # nor does a sender's wait for its acknowledgement
        wait_at_most(connection.socket, self._settings.network_timeout_s)
        connection.recv = partial(received, connection.socket)
        machine: Any = event.assoc.dul.state_machine
        machine.do_action = partial(_act, event.assoc, machine.do_action)
        with self._lock:
            self._waiting = [one for one in self._waiting if one.is_alive() and one not in self._seated]
            self._waiting.append(event.assoc)
            oldest = self._waiting[0] if len(self._waiting) > self.most_waiting else None
        if oldest is not None:
            LOG.warning("connection closed", reason="it asked for no association", address=oldest.requestor.address)
            _shut(oldest, SHUT_RDWR)

    def on_transition(self, event: Event) -> None:
        """Let an association end at once whose connection ended before it was asked for; it would wait out its time."""
        if event.next_state == "Sta1":
            _let_go(event.assoc)

    def on_pdu(self, event: Event) -> None:
        """Abort an association whose message grows past the limit, or that sends ahead of the answers."""
        dimse = event.assoc.dimse
        unanswered = dimse.msg_queue.qsize()
        if unanswered > MOST_UNANSWERED:
            self.abort(event.assoc, f"{unanswered} messages were sent ahead of their answers; wanted one")
        elif dimse.message is not None and dimse.message.data_set is not None:
            reached(Point.MID_DATA_SET)
            size = dimse.message.encoded_command_set.tell() + dimse.message.data_set.tell()
            if size > LARGEST_MESSAGE:
                self.abort(event.assoc, f"a message of more than {size} bytes; wanted {LARGEST_MESSAGE} at the most")

    def refusal(self, association: Association, calling_ae: str) -> str:
        """Why there is no seat for this association, empty when it has one now."""
        try:
            address = association.requestor.address
            seat = self._seats.take(calling_ae, address, self._settings.seats_of(calling_ae, address))
        except NoSeatError as none:
            return str(none)
        with self._lock:
            self._seated[association] = seat
        return ""

    def abort(self, association: Association, reason: str) -> None:
        """End an association whose peer holds more than is its."""
        LOG.warning("association aborted", reason=reason, address=association.requestor.address)
        association.abort(block=False)

    def see_off(self, association: Association) -> None:
        """End an association as the receiver ends: a peer that stops within a PDU is not waited for."""
        if association.requestor.primitive is None:  # it has asked for nothing yet
            _shut(association, SHUT_RDWR)
        else:
            association.abort(block=False)
            _shut(association, SHUT_RD)

    def _run(self, association: Association, run: Callable[[], None]) -> None:
        """The association's thread, from its beginning to its end."""
        try:
            run()
        finally:
            with self._lock:
                seat = self._seated.pop(association, None)
            if seat is not None:
                self._seats.leave(seat)
            self.ended()


def received(connection: socket, size: int) -> bytes:
    """`size` bytes, fewer where the peer hangs up or its time is over. Raises OSError past the limits of a PDU."""
    if size > LARGEST_PDU:
        raise OSError(f"a PDU of {size} bytes; wanted {LARGEST_PDU} at the most")
    return connection.recv(size, MSG_WAITALL) if size else b""


def wait_at_most(connection: socket, seconds: float) -> None:
    """Let each call end after so long, by the kernel's clock (SO_RCVTIMEO): one then reads a PDU, however it comes.

    By Python's clock each piece of it would have its own wait. A connection over TLS sees to that itself.
    """
    if isinstance(connection, Connection):
        connection.settimeout(seconds)
        return
    connection.settimeout(None)
    timeval = struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
    for direction in (SO_RCVTIMEO, SO_SNDTIMEO):
        connection.setsockopt(SOL_SOCKET, direction, timeval)


def _act(association: Association, act: Callable[[str], None], what: str) -> None:
    """One step of the upper layer; what it cannot make sense of ends the association, not its thread with a trace."""
    try:
        act(what)
    except Exception as error:  # noqa: BLE001  whatever a stranger's bytes make pynetdicom raise
        LOG.warning("association ended", reason=type(error).__name__, address=association.requestor.address)
        association.dul.kill_dul()
        _let_go(association)


def _let_go(association: Association) -> None:
    """End the wait for an A-ASSOCIATE-RQ that will not come."""
    if association.requestor.primitive is None:
        association.dul.to_user_queue.put(cast(Any, None))


def _shut(association: Association, ways: int) -> None:
    connection: Any = association.dul.socket
    with suppress(OSError, AttributeError):  # it has ended meanwhile
        connection.socket.shutdown(ways)
