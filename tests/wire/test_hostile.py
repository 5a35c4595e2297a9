"""Messages that no honest peer sends, on an association that the receiver has granted: each ends where it should."""

import errno
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from cxrnode.draft import MOST_PIECES
from cxrnode.receiving import arrival
from cxrnode.receiving.arrival import StoreArrival, StoreStatus
from cxrnode.receiving.doorway import LARGEST_PDU
from tests.builders import DX_PRESENTATION, make_cxr
from tests.fuzz import pdus
from tests.invariants import not_on_disk
from tests.nodes import saved
from tests.wire.test_inflow import ECHO, associated
from tests.wire.test_receive import Bench

FILM = make_cxr()
CONTENT = pdus.encoded(FILM)
COMMAND = pdus.store_command(DX_PRESENTATION, FILM.SOPInstanceUID)
ASKED = pdus.pdu(pdus.DATA, pdus.pdv(1, 3, COMMAND))
REQUESTED = pdus.pdu(pdus.DATA, pdus.pdv(1, 3, pdus.command(0x0130, ActionTypeID=1, CommandDataSetType=1)))
"""An N-ACTION-RQ."""
EMPTY = pdus.pdv(1, pdus.COMMAND, b"")


def data(*pdvs: bytes) -> bytes:
    """One P-DATA-TF PDU."""
    return pdus.pdu(pdus.DATA, b"".join(pdvs))


@pytest.mark.parametrize(
    "wrong",
    [
        [ASKED, data(pdus.pdv(1, 0, CONTENT[:999])), data(pdus.pdv(3, pdus.LAST, CONTENT[999:]))],
        [data(pdus.pdv(3, pdus.COMMAND, COMMAND[:50])), data(pdus.pdv(1, 3, COMMAND[50:]))],
        [data(pdus.pdv(1, pdus.COMMAND, b"\0")), *[data(EMPTY * ((LARGEST_PDU - 6) // 6))] * 2],
        [data(pdus.pdv(1, pdus.COMMAND, bytes(LARGEST_PDU - 6)))] * 2,
        [data(pdus.pdv(1, 0, CONTENT[:999]))],
        [ASKED, data(pdus.pdv(1, 0, CONTENT[:999])), ECHO],
        [ASKED, ASKED],
        [REQUESTED, *[data(pdus.pdv(1, 0, bytes(LARGEST_PDU - 6)))] * 20],
    ],
    ids=[
        "data set under two contexts",
        "command under two contexts",
        "empty pieces of a command without end",
        "a command without end",
        "a data set without a command",
        "a command within a data set",
        "a command in the place of the data set",
        "a request without end",
    ],
)
def test_a_message_that_is_none_ends_the_association_and_leaves_nothing(bench: Bench, wrong: Sequence[bytes]) -> None:
    """Seen red: the first stored under both; the commands were gathered in memory for as long as they came."""
    peer = associated(bench)
    answers = peer.send(*wrong).rest()  # TimeoutError where it waits for more
    peer.__exit__(None, None, None)

    assert [kind for kind, _ in answers] == [pdus.ABORT]
    assert (bench.receipts, list(bench.spool.keys())) == ([], [])
    assert list((bench.spool.root / "incoming").iterdir()) == []
    assert bench.send(FILM)[0].Status == 0


def test_several_messages_in_one_pdu_are_answered_once_each_and_in_turn(bench: Bench, tmp_path: Path) -> None:
    """Seen red: what was answered already went to pynetdicom with the rest of its PDU, and was answered again."""
    without = pdus.store_command(DX_PRESENTATION, FILM.SOPInstanceUID, pdus.NO_DATA_SET)
    echo = pdus.command(pdus.C_ECHO_RQ, AffectedSOPClassUID=pdus.VERIFICATION)
    peer = associated(bench)
    peer.send(data(pdus.pdv(1, 3, without), pdus.pdv(1, 3, COMMAND), pdus.pdv(1, 2, CONTENT), pdus.pdv(3, 3, echo)))
    answers = [peer.receive() for _ in range(3)]
    released, _ = peer.ask(pdus.RELEASE)
    peer.__exit__(None, None, None)

    assert (pdus.statuses(answers), released) == ([0xC000, 0, 0], pdus.RELEASE_RP)
    assert list(not_on_disk(bench.spool, [saved(FILM, tmp_path / "film.dcm")])) == []


def test_a_data_set_in_crumbs_is_written_before_they_fill_the_memory(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Seen red: 174,000 empty pieces of one PDU were kept, 36 MB of them."""
    most: list[int] = []
    write = StoreArrival.write

    def note(one: StoreArrival, pieces: Sequence[memoryview]) -> None:
        most.append(len(pieces))
        write(one, pieces)

    monkeypatch.setattr(StoreArrival, "write", note)
    crumbs = [pdus.pdv(1, 0, CONTENT[at : at + 1]) + pdus.pdv(1, 0, b"") for at in range(20_000)]
    peer = associated(bench)
    answer = peer.ask(ASKED + data(*crumbs) + data(pdus.pdv(1, pdus.LAST, CONTENT[20_000:])))
    peer.__exit__(None, None, None)

    assert pdus.statuses([answer]) == [0]
    assert max(most) == MOST_PIECES
    assert list(not_on_disk(bench.spool, [saved(FILM, tmp_path / "film.dcm")])) == []


def test_an_echo_is_answered_although_a_store_came_right_behind_it(bench: Bench) -> None:
    """Seen red: the reactor rested before it had looked, until the data set was whole."""
    peer = associated(bench)
    echoes = [peer.send(ECHO + ASKED).receive()]
    stored = peer.ask(data(pdus.pdv(1, pdus.LAST, CONTENT)))
    peer.__exit__(None, None, None)

    assert pdus.statuses([*echoes, stored]) == [0, 0]


def test_pdus_without_anything_in_them_change_nothing(bench: Bench) -> None:
    nothing = data() + data(pdus.pdv(1, pdus.COMMAND, b""))
    peer = associated(bench)
    answers = [peer.ask(nothing + ASKED + data() + data(pdus.pdv(1, 0, b"")) + data(pdus.pdv(1, 2, CONTENT)))]
    answers.append(peer.ask(data() + ECHO))
    peer.__exit__(None, None, None)

    assert pdus.statuses(answers) == [0, 0]


@pytest.mark.parametrize("largest", [1, 7, 30, 2**31])
def test_no_answer_is_longer_than_its_peer_takes(bench: Bench, largest: int) -> None:
    asked = pdus.associate().replace(struct.pack(">L", 16384), struct.pack(">L", largest))
    with pdus.Peer(bench.settings.port) as peer:
        assert peer.ask(asked)[0] == pdus.ASSOCIATE_AC
        answers = [peer.ask(pdus.store(FILM))]
        while not answers[-1][1][5] & pdus.LAST:
            answers.append(peer.receive())

    assert max(len(body) for _, body in answers) <= max(largest, 7)
    whole = bytes(6) + b"".join(body[6:] for _, body in answers)
    assert pdus.statuses([(pdus.DATA, whole)]) == [0]


def asked_for(content: bytes, study: str) -> bytes:
    """A C-STORE of the film, with what its sender takes for a Study Instance UID."""
    here = content.index(b"\x20\0\x0d\0UI")
    (length,) = struct.unpack_from("<H", content, here + 6)
    value = study.encode("latin-1")
    value += bytes(len(value) % 2)
    element = content[here : here + 6] + struct.pack("<H", len(value)) + value
    return pdus.message(COMMAND, content[:here] + element + content[here + 8 + length :])


@pytest.mark.parametrize("study", ["1.2." + "3" * 61, "1.2." + "3" * 60_000, "1.2\\1.3", "1.2\0\0x", "\xe9", "a b"])
def test_a_study_that_has_no_name_of_its_own_is_not_taken(bench: Bench, study: str) -> None:
    """Seen red: Success; two values became "['1.2', '1.3']", and 60,000 characters are more than a pipe takes whole."""
    with pdus.Peer(bench.settings.port) as peer:
        peer.ask(pdus.associate())
        answer = peer.ask(asked_for(CONTENT, study))

    assert pdus.statuses([answer]) == [StoreStatus.DOES_NOT_MATCH_SOP_CLASS]
    assert b"StudyInstanceUID is no UID" in answer[1]
    assert (bench.receipts, list(bench.spool.keys())) == ([], [])


@pytest.mark.parametrize("study", ["1.2." + "3" * 60, "1.02.3", "STUDY-1"])
def test_a_study_is_taken_whose_device_counts_in_its_own_way(bench: Bench, study: str) -> None:
    with pdus.Peer(bench.settings.port) as peer:
        peer.ask(pdus.associate())
        answer = peer.ask(asked_for(CONTENT, study))

    assert pdus.statuses([answer]) == [0]
    assert [receipt.study_instance_uid for receipt in bench.receipts] == [study]


def test_a_data_set_cannot_change_what_its_file_says_it_is(bench: Bench) -> None:
    """Seen red: readers took group 0002 of the data set for the file's own, and with it another instance's UID."""
    other = b"\2\0\3\0UI" + struct.pack("<H", 4) + b"9.9\0"
    with pdus.Peer(bench.settings.port) as peer:
        peer.ask(pdus.associate())
        answer = peer.ask(pdus.message(COMMAND, other + CONTENT))

    assert pdus.statuses([answer]) == [StoreStatus.CANNOT_UNDERSTAND]
    assert b"Group 0002" in answer[1]
    assert list(bench.spool.keys()) == []


@pytest.mark.parametrize(
    "fault", [OSError(errno.EMFILE, "Too many open files"), MemoryError()], ids=["files", "memory"]
)
@pytest.mark.parametrize("place", ["data_set_at", "measure", "parsed"])
def test_a_fault_of_this_machine_is_not_laid_to_the_image(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: Exception, place: str
) -> None:
    """Seen red: 0xC000, on which a sender gives up."""

    def fail(*_: object, **__: object) -> None:
        raise fault

    if place == "parsed":
        monkeypatch.setattr(arrival, "measure", lambda *_: None)
        monkeypatch.setattr("pydicom.dcmread", fail)
    else:
        monkeypatch.setattr(arrival, place, fail)
    (refused,) = bench.send(FILM)
    monkeypatch.undo()

    assert refused.Status == StoreStatus.OUT_OF_RESOURCES
    assert list(bench.spool.keys()) == []
    assert bench.send(FILM)[0].Status == 0
