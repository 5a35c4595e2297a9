"""Several processes take associations: one service, with one number of seats, and one end."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from socket import send_fds, socketpair

import pytest

from cxrnode.receiving.seats import NoSeatError, Seats
from cxrnode.serving.acceptors import Hatch
from cxrnode.spool import Spool
from tests.builders import DX_PRESENTATION
from tests.fuzz import pdus
from tests.fuzz.campaign import settled
from tests.fuzz.hostile import film
from tests.fuzz.targets import Target, receiving

PROCESSES = 3
REJECTED_TRANSIENT = (pdus.ASSOCIATE_RJ, bytes([0, 2, 3, 2]))
SEATS = {"max_associations": 4, "max_associations_per_sender": 2}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with receiving(tmp_path, processes=PROCESSES, network_timeout_s=20.0, **SEATS) as made:
        yield made


def associated(target: Target, held: ExitStack, calling: str) -> pdus.Peer:
    """A peer with an association, which it holds."""
    peer = held.enter_context(pdus.Peer(target.port))
    assert peer.ask(pdus.associate(calling))[0] == pdus.ASSOCIATE_AC
    return peer


def test_associations_are_shared_out_and_each_process_stores_and_tells(target: Target) -> None:
    """Red when all go to one process (`hand` without `sorted`), and when a process cannot tell the ledger's."""
    with ExitStack() as held:
        peers = [associated(target, held, f"SENDER{number}") for number in range(PROCESSES)]
        for number, peer in enumerate(peers):
            uid, content = film(number)
            stored = peer.ask(pdus.message(pdus.store_command(DX_PRESENTATION, uid), content))
            assert pdus.statuses([stored]) == [0]
        assert settled(lambda: target.counted() == PROCESSES, 20)

    spool = Spool(target.spool_dir)
    associations = [spool.receipt(path.name).association for path in (spool.root / "instances").glob("*/*")]
    assert len(set(associations)) == len({one.partition("-")[0] for one in associations}) == PROCESSES


def test_the_seats_are_those_of_all_processes_together_and_come_free(target: Target) -> None:
    """Red when each process counts its own seats, and when `Doorway._run` leaves none."""
    with ExitStack() as held:
        first, _ = associated(target, held, "SLOW"), associated(target, held, "SLOW")
        with pdus.Peer(target.port) as third:
            assert third.ask(pdus.associate("SLOW")) == REJECTED_TRANSIENT
        associated(target, held, "OTHER"), associated(target, held, "ANOTHER")
        with pdus.Peer(target.port) as fifth:
            assert fifth.ask(pdus.associate("LATE")) == REJECTED_TRANSIENT
        assert first.ask(pdus.RELEASE)[0] == pdus.RELEASE_RP
        assert settled(lambda: seated(target, "SLOW"), 5)


def seated(target: Target, calling: str) -> bool:
    """Whether this sender gets a seat, which it leaves at once."""
    with pdus.Peer(target.port) as peer:
        return peer.ask(pdus.associate(calling))[0] == pdus.ASSOCIATE_AC


@pytest.mark.parametrize("which", [1, 3], ids=["of the ledger", "of an acceptor"])
def test_the_death_of_one_process_ends_the_service(tmp_path: Path, which: int) -> None:
    """Red without `one_has_ended`, or without the intake's waitpid."""
    with receiving(tmp_path, processes=PROCESSES) as target:
        all_of_them, target.status = target.pids, 1
        os.kill(all_of_them[which], signal.SIGKILL)
        assert target.process.wait(20) == 1
        assert not any(map(alive, all_of_them))


def test_a_killed_parent_takes_all_with_it_and_what_was_acknowledged_is_entered(tmp_path: Path) -> None:
    """Red without `end_with_parent` where an acceptor hangs; the stopped one here is such a one."""
    with receiving(tmp_path, processes=PROCESSES) as target:
        assert target.serves()
        all_of_them, target.status = target.pids, -signal.SIGKILL
        os.kill(all_of_them[-1], signal.SIGSTOP)
        target.process.kill()
        target.process.wait()
        assert settled(lambda: not any(map(alive, all_of_them)), 20)
        assert target.counted() == 1


def test_it_ends_when_told_to_although_a_sender_is_in_mid_store_and_a_process_hangs(target: Target) -> None:
    """Red without the kill in `Acceptors.end`: it waits for ever."""
    with ExitStack() as held:
        peer = associated(target, held, "SLOW")
        uid, content = film(1)
        whole = pdus.message(pdus.store_command(DX_PRESENTATION, uid), content)
        peer.send(whole[:-1000])
        all_of_them = target.pids
        os.kill(all_of_them[-1], signal.SIGSTOP)
        target.process.terminate()
        assert target.process.wait(25) == 0

    assert not any(map(alive, all_of_them))
    assert list((target.spool_dir / "instances").glob("*/*")) == []


def alive(pid: int) -> bool:
    """Whether the process is there, and is more than a name that its parent has not heard the end of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_connection_that_a_process_has_no_room_for_ends_and_the_process_goes_on() -> None:
    """Red when what comes without a handle is taken for the end: the service would begin anew."""
    ours, its = socketpair()
    one, other = socketpair()
    with ours, one, other:
        hatch = Hatch(its)
        ours.send(b"\0")  # so it comes when the process may open no file more
        send_fds(ours, [b"\0"], [one.fileno()])
        connection = hatch.connection()
        assert connection is not None
        with connection:
            connection.send(b"here")
        assert (other.recv(4), ours.recv(4)) == (b"here", b"\0")
    assert hatch.connection() is None
    its.close()


def test_a_seat_is_had_once_and_left_for_another() -> None:
    seats = Seats(3)
    taken = [seats.take("A", "10.0.0.1", 2), seats.take("A", "10.0.0.1", 2)]
    with pytest.raises(NoSeatError, match="of this AE title and address"):
        seats.take("A", "10.0.0.1", 2)
    taken.append(seats.take("A", "10.0.0.2", 2))
    assert sorted(taken) == [0, 1, 2]
    with pytest.raises(NoSeatError, match=r"too many associations$"):
        seats.take("B", "10.0.0.1", 2)
    seats.leave(taken[0])
    assert seats.take("A", "10.0.0.1", 2) == taken[0]


def test_an_end_that_nobody_has_read_of_yet_is_no_fault() -> None:
    """Red when the reset is raised: whoever stopped with word of an end unread stopped without seeing anybody off."""
    ours, its = socketpair()
    with its:
        hatch = Hatch(its)
        hatch.ended()
        ours.close()

        assert hatch.connection() is None
