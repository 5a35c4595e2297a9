"""Peers that hold on to the receiver: each ends within the network timeout, and none takes a good sender's seat.

Seen red: without `connection.recv` in `Doorway.on_open` the PDU that drips and the absurd one, without `on_transition`
the hung-up connection, without `refusal` the seats, without `on_pdu` the instance past the limit and messages ahead.
"""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cxrnode.commands.samples import free_ports
from cxrnode.receipt import Receipt
from cxrnode.receive import Receiver
from cxrnode.receiving.doorway import LARGEST_PDU, MOST_WAITING
from cxrnode.settings import Receiving
from cxrnode.settings.sender import Sender
from cxrnode.spool import Spool
from tests.builders import DX_PRESENTATION, make_cxr
from tests.fuzz import pdus
from tests.fuzz.campaign import settled

TIMEOUT_S = 1.5
REJECTED_TRANSIENT = (pdus.ASSOCIATE_RJ, bytes([0, 2, 3, 2]))
FILM = make_cxr()


class Bench:
    """A receiver with little patience, four seats, and two a sender."""

    def __init__(self, root: Path, network_timeout_s: float = TIMEOUT_S, senders: tuple[Sender, ...] = ()) -> None:
        self.settings = Receiving(
            port=free_ports(1)[0],
            reserve_gb=0,
            network_timeout_s=network_timeout_s,
            max_associations=4,
            max_associations_per_sender=2,
            largest_instance_mb=1,
            senders=senders,
        )
        self.receipts: list[Receipt] = []
        self.receiver = Receiver("CXRNODE", self.settings, Spool(root / "spool", 0), self.receipts.append)

    def peer(self) -> pdus.Peer:
        """A connection to it."""
        return pdus.Peer(self.settings.port)

    def serves(self, calling: str = "MODALITY") -> bool:
        """Whether a good sender's film is acknowledged."""
        with self.peer() as peer:
            accepted, _ = peer.ask(pdus.associate(calling))
            return accepted == pdus.ASSOCIATE_AC and pdus.statuses([peer.ask(pdus.store(FILM))]) == [0]


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Bench]:
    """A receiver that waits ten minutes for a byte: what it ends sooner, it ends for another reason."""
    made = Bench(tmp_path, network_timeout_s=600)
    made.receiver.start()
    yield made
    made.receiver.stop()


def idle(peer: pdus.Peer) -> None:
    """A connection that asks for nothing."""


def half_a_request(peer: pdus.Peer) -> None:
    """An A-ASSOCIATE-RQ that stops within."""
    peer.send(pdus.associate()[:40])


def half_a_length(peer: pdus.Peer) -> None:
    """A PDU of three bytes."""
    peer.send(b"\1\0\0")


def mute(peer: pdus.Peer) -> None:
    """An association without a message."""
    assert peer.ask(pdus.associate("MUTE"))[0] == pdus.ASSOCIATE_AC


def half_a_store(peer: pdus.Peer) -> None:
    """A C-STORE that stops in mid PDU."""
    assert peer.ask(pdus.associate("HALF"))[0] == pdus.ASSOCIATE_AC
    peer.send(pdus.store(FILM)[:5000])


HELD = [idle, half_a_request, half_a_length, mute, half_a_store]


@pytest.mark.parametrize("hold", HELD)
def test_whoever_holds_on_is_let_go_after_the_network_timeout(bench: Bench, hold: Callable[[pdus.Peer], None]) -> None:
    with bench.peer() as peer:
        hold(peer)
        peer.rest()  # TimeoutError where the receiver does not hang up

    assert bench.receipts == []
    assert bench.serves()


def test_fifty_that_hold_on_do_not_keep_a_good_sender_out(bench: Bench) -> None:
    with ExitStack() as held:
        for number in range(50):
            peer = held.enter_context(bench.peer())
            if number < 4:
                peer.ask(pdus.associate("SLOW"))
            elif number % 3:
                (half_a_request, half_a_length)[number % 2](peer)
        assert bench.serves()


def test_the_seats_of_one_sender_are_limited_and_come_free(bench: Bench) -> None:
    with bench.peer() as one, bench.peer() as two, bench.peer() as three, bench.peer() as other:
        assert [peer.ask(pdus.associate("SLOW"))[0] for peer in (one, two)] == [pdus.ASSOCIATE_AC] * 2
        assert three.ask(pdus.associate("SLOW")) == REJECTED_TRANSIENT
        assert other.ask(pdus.associate("OTHER"))[0] == pdus.ASSOCIATE_AC
        one.rest()

    assert settled(lambda: bench.serves("SLOW"), 10)


def test_a_sender_with_a_number_of_its_own_has_so_many_seats(tmp_path: Path) -> None:
    bench = Bench(tmp_path, senders=(Sender(ae_title="ONE", addresses=("127.0.0.1",), max_associations=1),))
    bench.receiver.start()
    try:
        with bench.peer() as one, bench.peer() as two:
            assert one.ask(pdus.associate("ONE"))[0] == pdus.ASSOCIATE_AC
            assert two.ask(pdus.associate("ONE")) == REJECTED_TRANSIENT
    finally:
        bench.receiver.stop()


def test_the_seats_of_all_are_limited(bench: Bench) -> None:
    with ExitStack() as held:
        peers = [held.enter_context(bench.peer()) for _ in range(5)]
        answers = [peer.ask(pdus.associate(f"SENDER{number // 2}")) for number, peer in enumerate(peers)]

    assert [kind for kind, _ in answers] == [pdus.ASSOCIATE_AC] * 4 + [pdus.ASSOCIATE_RJ]
    assert answers[-1] == REJECTED_TRANSIENT


def test_of_too_many_connections_without_an_association_the_oldest_is_closed(bench: Bench) -> None:
    with ExitStack() as held:
        first, *_ = [held.enter_context(bench.peer()) for _ in range(MOST_WAITING + 1)]
        assert first.rest() == []
        assert bench.serves()


def test_a_hung_up_connection_keeps_no_thread_waiting(patient: Bench) -> None:
    before = threading.active_count()
    for _ in range(20):
        with patient.peer() as peer:
            peer.send(b"GET / HTTP/1.1\r\n\r\n")

    assert settled(lambda: threading.active_count() <= before, 30)


def test_a_pdu_that_drips_is_whole_in_time_or_ends(bench: Bench) -> None:
    with socket.create_connection(("127.0.0.1", bench.settings.port), timeout=TIMEOUT_S / 4) as peer:
        assert any(hung_up(peer, byte) for byte in pdus.associate()[:40])

    assert bench.serves()


def hung_up(peer: socket.socket, byte: int) -> bool:
    """Send one byte, and wait a quarter of the receiver's patience for the end of the connection."""
    try:
        peer.send(bytes([byte]))
        return peer.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("hold", HELD)
def test_whoever_holds_on_does_not_keep_the_receiver_from_its_end(
    patient: Bench, hold: Callable[[pdus.Peer], None]
) -> None:
    """Seen red without `see_off`: a peer that stops within a PDU was waited for, for the whole network timeout."""
    with patient.peer() as peer:
        hold(peer)
        ending = threading.Thread(target=patient.receiver.stop, daemon=True)
        ending.start()
        ending.join(20)
        assert not ending.is_alive()
        assert {kind for kind, _ in peer.rest()} <= {pdus.ABORT}


def test_a_pdu_of_an_absurd_length_ends_the_connection_before_it_is_read(patient: Bench) -> None:
    with patient.peer() as peer:
        assert peer.ask(pdus.associate())[0] == pdus.ASSOCIATE_AC
        peer.send(struct.pack(">BxL", pdus.DATA, LARGEST_PDU + 1))
        assert [kind for kind, _ in peer.rest()] in ([], [pdus.ABORT])

    assert patient.serves()


def test_an_instance_past_the_limit_is_aborted_and_not_kept(patient: Bench) -> None:
    command = pdus.store_command(DX_PRESENTATION, FILM.SOPInstanceUID)
    piece = pdus.pdu(pdus.DATA, pdus.pdv(1, 0, bytes(2**19)))
    with patient.peer() as peer:
        assert peer.ask(pdus.associate())[0] == pdus.ASSOCIATE_AC
        peer.send(pdus.message(command), piece, piece, piece, piece)
        assert [kind for kind, _ in peer.rest()] in ([], [pdus.ABORT])

    assert patient.receipts == []
    assert patient.serves()


def test_messages_far_ahead_of_their_answers_are_aborted(patient: Bench) -> None:
    with patient.peer() as peer:
        assert peer.ask(pdus.associate())[0] == pdus.ASSOCIATE_AC
        peer.send(pdus.store(FILM) * 200)
        answers = peer.rest()

    assert len(pdus.statuses(answers)) < 200
    assert patient.serves()


@pytest.mark.parametrize(
    "wrong",
    [
        pdus.pdu(pdus.ASSOCIATE_AC, bytes(68)),
        pdus.pdu(pdus.RELEASE_RP, bytes(4)),
        pdus.associate(),
        b"\xff" * 64,
        pdus.message(pdus.store_command(DX_PRESENTATION, "1.2.3"), b"\0\0", number=99),
        pdus.pdu(pdus.DATA, pdus.pdv(1, 3, pdus.store_command(DX_PRESENTATION, "1.2.3"), length=2**31)),
        pdus.pdu(pdus.DATA, pdus.pdv(1, 3, b"\0\0\0\0\4\0\0\0\xff\xff\xff\xff")),
        pdus.ABORTED,
    ],
    ids=["AC", "RELEASE-RP", "second RQ", "garbage", "unknown context", "lying PDV", "lying command", "ABORT"],
)
def test_what_does_not_belong_there_ends_the_association_at_once(bench: Bench, wrong: bytes) -> None:
    with bench.peer() as peer:
        assert peer.ask(pdus.associate())[0] == pdus.ASSOCIATE_AC
        answers = peer.send(wrong).rest()

    assert {kind for kind, _ in answers} <= {pdus.ABORT}
    assert bench.serves()


def test_a_store_without_a_data_set_is_told_so(bench: Bench) -> None:
    with bench.peer() as peer:
        peer.ask(pdus.associate())
        command = pdus.store_command(DX_PRESENTATION, FILM.SOPInstanceUID, pdus.NO_DATA_SET)
        answer = peer.ask(pdus.message(command))

    assert pdus.statuses([answer]) == [0xC000]
    assert b"without a data set" in answer[1]
    assert bench.receipts == []
