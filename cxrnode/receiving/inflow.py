"""The data sets of an association go from its socket to the spool, a PDU at a time; all else is pynetdicom's.

pynetdicom gathers each message in memory and looks every millisecond, in two threads, whether something has come. So
while instances come its reactor of messages rests, and that of PDUs is here: it waits for the socket, and nothing else.
All that is there is read at once, for each call of the system costs several senders' threads a turn of the interpreter.
"""

import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from socket import IPPROTO_TCP, MSG_DONTWAIT, MSG_WAITALL, TCP_QUICKACK, socket
from typing import Any, Protocol, cast

from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext

from cxrnode.draft import MOST_PIECES
from cxrnode.errors import Unreadable
from cxrnode.faultpoints import Point, reached
from cxrnode.log import logger
from cxrnode.metrics import counts
from cxrnode.receiving import cstore
from cxrnode.receiving.cstore import Request, field, pdu_of, pdvs, request, response
from cxrnode.receiving.doorway import LARGEST_PDU, MB, Doorway, received
from cxrnode.tls import has_come

LOG = logger("inflow")
READY = "Sta6"
"""The state of an association over which data may come (PS3.8 9.2.1)."""
CONNECTION_ENDED, NOT_A_PDU = "Evt17", "Evt19"
SLICE_MS = 20
"""So long the reactor waits for the socket before it looks whether pynetdicom has something to send."""
LONGEST_COMMAND = 2**14
"""Bytes of a command set; a C-STORE-RQ has some 200."""
MOST_GATHERED = 2**18
"""Bytes of the PDUs that hold one, empty pieces included."""
MOST_AHEAD = 4
"""Messages one after another that were sent ahead of our answer: no asynchronous operations are negotiated."""


class Arrival(Protocol):
    """What becomes of one data set."""

    def write(self, pieces: Sequence[memoryview]) -> None:
        """The next bytes of it."""

    def finish(self) -> tuple[int, str]:
        """It is whole: the status to answer, and a comment."""

    def drop(self) -> None:
        """Nothing more of it will come."""


class Overload(Unreadable):
    """More than its peer may send."""


Begin = Callable[[Association, Request, PresentationContext], Arrival]
"""What takes the data set of this request. Raises Unreadable."""


class Inflow:
    """What comes over one association."""

    def __init__(self, event: Event, doorway: Doorway, largest_mb: int, begin: Begin) -> None:
        self._association = cast(Any, event.assoc)  # what is set below is no part of what pynetdicom promises
        self._begin = begin
        self._doorway, self._largest = doorway, largest_mb * MB
        self._dul = self._association.dul
        self._socket: socket = self._dul.socket.socket
        self._has_come = has_come(self._socket)
        self._dul.socket.recv = self._received
        self._ordinary: Callable[[], bool] = self._dul._is_transport_event  # noqa: SLF001
        self._dul._is_transport_event = self._whatever_happens  # noqa: SLF001
        self._buffer = memoryview(bytearray(cstore.PDU_HEAD.size + LARGEST_PDU))
        self._from = self._to = 0
        """what lies in the buffer and was not taken yet"""
        self._pieces: list[memoryview] = []
        """of the buffer, what is to be written"""
        self._given = b""
        self._gathered = b""
        """PDUs of a command that is not whole yet"""
        self._command = b""
        self._request: Request | None = None
        self._context_id = 0
        self._contexts: dict[int, PresentationContext] = {}
        self._arrival: Arrival | None = None
        self._size = self._ahead = 0
        self._more = False
        """whether more comes in the same PDU"""

    def _whatever_happens(self) -> bool:
        """A turn of pynetdicom's reactor of PDUs; True: something came."""
        going_on = False
        try:
            came = self._turn()
            going_on = self._dul.state_machine.current_state == READY
            return came
        finally:
            if not going_on:
                self._leave()

    def _turn(self) -> bool:
        if self._dul.state_machine.current_state != READY:
            self._leave()
            if self._given or self._from < self._to:
                self._dul._read_pdu_data()  # noqa: SLF001
                return True
            return self._ordinary()
        while not self._dul.to_provider_queue.queue:
            if self._given:
                self._dul._read_pdu_data()  # noqa: SLF001
                return True
            if not self._something_came():
                if self._dul.idle_timer_expired():
                    self._leave()
                return False
            self._dul._idle_timer.restart()  # noqa: SLF001
            self._take_pdu_whatever_it_is()
            if not self._dul.event_queue.empty():
                return True
        return False

    def _take_pdu_whatever_it_is(self) -> None:
        try:
            self._take_pdu()
        except OSError:
            self._end(CONNECTION_ENDED)
        except Overload as error:
            self._leave()
            self._doorway.abort(self._association, str(error))
        except (Unreadable, struct.error) as error:
            LOG.warning("association ended", reason=str(error), address=self._association.requestor.address)
            self._end(NOT_A_PDU)

    def _something_came(self) -> bool:
        if self._from < self._to:
            return True
        self._write_out()
        return self._has_come(0 if self._request is None else SLICE_MS)

    def _take_pdu(self) -> None:
        """Raises OSError when it does not come whole and in time, Unreadable when it is none."""
        self._fill(cstore.PDU_HEAD.size)
        kind, length = cstore.PDU_HEAD.unpack_from(self._buffer, self._from)
        if kind != cstore.P_DATA or self._association.dimse.message is not None:
            self._give(bytes(self._buffer[self._from : self._from + cstore.PDU_HEAD.size]))
            self._from += cstore.PDU_HEAD.size
            return
        if length > LARGEST_PDU:
            raise OSError(f"a PDU of {length} bytes; wanted {LARGEST_PDU} at the most")
        whole = cstore.PDU_HEAD.size + length
        self._fill(whole)
        pdu = self._buffer[self._from : self._from + whole]
        self._from += whole
        self._take_pdvs(pdu)

    def _take_pdvs(self, pdu: memoryview) -> None:
        begun = cstore.PDU_HEAD.size
        for context_id, control, piece, end in pdvs(pdu):
            if not self._command and self._arrival is None:
                self._context_id = context_id
            elif context_id != self._context_id:
                raise Unreadable(f"a message goes on under presentation context {context_id}; wanted one for all of it")
            self._more = end < len(pdu)
            if self._request is not None and self._arrival is not None:
                self._write(self._request, self._arrival, piece, control)
            elif self._is_for_pynetdicom(piece, control):
                self._give(self._gathered + pdu_of(pdu[begun:]))
                return
            if not self._command:
                begun = end
        if self._command:
            self._gathered += pdu_of(pdu[begun:])
            if len(self._gathered) > MOST_GATHERED:
                raise Unreadable(f"a command in PDUs of more than {MOST_GATHERED} bytes; wanted a shorter one")

    def _is_for_pynetdicom(self, piece: memoryview, control: int) -> bool:
        """Whether a command that is whole by this piece is none of ours. Raises Unreadable."""
        if not control & cstore.COMMAND:
            raise Unreadable("a data set without its command; wanted that first")
        if len(self._command) + len(piece) > LONGEST_COMMAND:
            raise Unreadable(f"a command of more than {LONGEST_COMMAND} bytes; wanted a shorter one")
        self._command += piece
        return bool(control & cstore.LAST) and not self._asked_to_store(self._context_id)

    def _asked_to_store(self, context_id: int) -> bool:
        """Whether the command was a C-STORE-RQ, whose data set is taken from now on. Raises Unreadable."""
        command, self._command = self._command, b""
        try:
            if field(command) != cstore.C_STORE_RQ:
                return False
        except Unreadable:
            return False  # what it is, pynetdicom says
        if not self._contexts:  # none is added later
            self._contexts = {one.context_id: one for one in self._association.accepted_contexts}
        context = self._contexts.get(context_id)
        if context is None:
            raise Unreadable(f"a C-STORE-RQ under presentation context {context_id}; wanted an accepted one")
        asked = request(command)
        self._request, self._gathered, self._size = asked, b"", 0
        if self._association.dimse.msg_queue.empty():  # else an earlier message waits to be answered
            self._association._reactor_checkpoint.clear()  # noqa: SLF001  it rests until something is given to it
        self._arrival = arrival = self._begin(self._association, asked, context)
        if not asked.has_data_set:
            self._answer(asked, arrival)
        return True

    def _write(self, asked: Request, arrival: Arrival, piece: memoryview, control: int) -> None:
        if control & cstore.COMMAND:
            raise Unreadable("a command within a data set; wanted the rest of it")
        reached(Point.MID_DATA_SET)
        self._size += len(piece)
        if self._size > self._largest:
            wanted = f"wanted {self._largest // MB} MB at the most (receiving.largest_instance_mb)"
            raise Overload(f"a message of more than {self._size} bytes; {wanted}")
        if piece:
            self._pieces.append(piece)
        if control & cstore.LAST or len(self._pieces) == MOST_PIECES:
            self._write_out()
        if control & cstore.LAST:
            self._answer(asked, arrival)

    def _write_out(self) -> None:
        """Write what was gathered, before its place in the buffer is wanted or the sender is waited for."""
        pieces, self._pieces = self._pieces, []
        if pieces and self._arrival is not None:
            self._arrival.write(pieces)

    def _answer(self, asked: Request, arrival: Arrival) -> None:
        self._arrival = None
        try:
            status, comment = arrival.finish()
        finally:
            arrival.drop()
        counts.answered(self._association.requestor.ae_title.strip(), status, self._size, time.time())
        self._ahead = self._ahead + 1 if self._more or self._from < self._to or self._has_come(0) else 0
        if self._ahead > MOST_AHEAD:
            raise Overload(f"{self._ahead} messages were sent ahead of their answers; wanted one")
        largest = self._association.requestor.maximum_length or 0
        self._socket.sendall(response(asked, self._context_id, status, comment, largest))
        self._socket.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 1)  # a sender that waits for ours is not kept waiting
        self._dul._idle_timer.restart()  # noqa: SLF001

    def _fill(self, size: int) -> None:
        """Have `size` bytes in the buffer, and what else is there already. Raises OSError when they do not come."""
        have = self._to - self._from
        if have >= size:
            return
        self._write_out()
        self._buffer[:have] = self._buffer[self._from : self._to]
        self._from, self._to = 0, have
        if self._socket.recv_into(self._buffer[have:], size - have, MSG_WAITALL) != size - have:
            raise OSError("the connection has ended within a PDU, or its time is over")
        self._to = size
        if size < len(self._buffer):
            with suppress(BlockingIOError):
                self._to += self._socket.recv_into(self._buffer[size:], 0, MSG_DONTWAIT)

    def _received(self, size: int) -> bytes:
        """What pynetdicom reads: first what was given to it, then what came with it, then what comes."""
        if self._given:
            got, self._given = self._given[:size], self._given[size:]
            return got
        if size > LARGEST_PDU:
            return received(self._socket, size)  # which refuses it
        got = bytes(self._buffer[self._from : min(self._from + size, self._to)])
        self._from += len(got)
        return got if len(got) == size else got + received(self._socket, size - len(got))

    def _give(self, pdus: bytes) -> None:
        """Let pynetdicom have what is not ours; it goes on with what lies in the buffer."""
        self._leave()
        self._given = pdus

    def _end(self, event: str) -> None:
        self._leave()
        self._dul.event_queue.put(event)

    def _leave(self) -> None:
        """Drop what is not whole; both of pynetdicom's reactors do as ever."""
        self._gathered = self._command = b""
        self._pieces = []
        self._request = None
        if self._arrival is not None:
            arrival, self._arrival = self._arrival, None
            with suppress(OSError):
                arrival.drop()
        self._association._reactor_checkpoint.set()  # noqa: SLF001
