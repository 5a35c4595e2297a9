"""Data sets on their way from the socket into the spool: never whole in memory, never elsewhere, durable, then told."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrnode.receiving import inflow
from cxrnode.receiving.doorway import LARGEST_PDU
from tests.builders import DX_PRESENTATION, make_cxr
from tests.fuzz import pdus
from tests.fuzz.campaign import settled
from tests.fuzz.targets import receiving
from tests.invariants import not_on_disk
from tests.nodes import saved
from tests.wire.test_receive import Bench

FILM = make_cxr()
MB = 2**20
ECHO = pdus.message(pdus.command(pdus.C_ECHO_RQ, AffectedSOPClassUID=pdus.VERIFICATION), number=3)


def associated(bench: Bench) -> pdus.Peer:
    """A peer with an association, which the caller leaves."""
    peer = pdus.Peer(bench.settings.port).__enter__()
    assert peer.ask(pdus.associate())[0] == pdus.ASSOCIATE_AC
    return peer


def parts_of(content: bytes, size: int) -> Iterator[bytes]:
    """A data set as PDUs of one fragment each."""
    for at in range(0, len(content), size):
        last = pdus.LAST if at + size >= len(content) else 0
        yield pdus.pdu(pdus.DATA, pdus.pdv(1, last, content[at : at + size]))


def test_memory_is_flat_in_the_size_of_an_image(tmp_path: Path) -> None:
    """Red when `StoreArrival.write` keeps the pieces, or pynetdicom gathers them: 200 MB more for the large one."""
    head = pdus.encoded(FILM)[: -FILM.Rows * FILM.Columns * 2 - 12]
    with receiving(tmp_path) as target:
        most = []
        for size_mb in (1, 100):
            uid = f"{FILM.SOPInstanceUID[:-1]}{len(most)}"  # as long as the one that it takes the place of
            pixels = b"\xe0\x7f\x10\0OW\0\0" + (size_mb * MB).to_bytes(4, "little")
            content = head.replace(FILM.SOPInstanceUID.encode(), uid.encode())
            with pdus.Peer(target.port, patience_s=60) as peer:
                assert peer.ask(pdus.associate())[0] == pdus.ASSOCIATE_AC
                peer.send(pdus.pdu(pdus.DATA, pdus.pdv(1, 3, pdus.store_command(DX_PRESENTATION, uid))))
                peer.send(pdus.pdu(pdus.DATA, pdus.pdv(1, 0, content + pixels)))
                for number in range(2 * size_mb):
                    last = pdus.LAST if number == 2 * size_mb - 1 else 0
                    peer.send(pdus.pdu(pdus.DATA, pdus.pdv(1, last, bytes(MB // 2))))
                assert pdus.statuses([peer.receive()]) == [0]
            most.append(max(map(most_mb, target.pids)))

    assert most[1] - most[0] < 10


def most_mb(pid: int) -> float:
    """The most that was ever resident."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


@pytest.mark.parametrize("end", [pdus.ABORTED, pdus.RELEASE, b"", b"\7\0"], ids=["abort", "release", "gone", "cut"])
def test_what_has_come_of_an_image_lies_in_the_spool_alone_and_goes_with_its_sender(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    """Red with pynetdicom's own chunked receiving, and without `drop` in `Inflow._leave`."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    incoming, content = bench.spool.root / "incoming", pdus.encoded(FILM)
    peer = associated(bench)
    peer.send(pdus.pdu(pdus.DATA, pdus.pdv(1, 3, pdus.store_command(DX_PRESENTATION, FILM.SOPInstanceUID))))
    peer.send(pdus.pdu(pdus.DATA, pdus.pdv(1, 0, content[:50_000])))

    def half() -> list[Path]:
        return [path for path in incoming.glob("*/*") if path.read_bytes().endswith(content[:50_000])]

    assert settled(lambda: len(half()) == 1, 10)
    (path,) = half()
    assert (path.name, path.stat().st_mode & 0o777, list(elsewhere.iterdir())) == ("image.dcm", 0o600, [])
    peer.send(end).__exit__(None, None, None)

    assert settled(lambda: not list(incoming.iterdir()), 10)
    assert (bench.receipts, list(bench.spool.keys())) == ([], [])
    assert bench.send(FILM)[0].Status == 0


def test_success_is_answered_after_the_last_fsync(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when the answer is sent before `finish`, or the folder is synced later."""
    done: list[str] = []
    fsync, rename, answer = os.fsync, Path.rename, inflow.response

    def note_fsync(handle: int) -> None:
        fsync(handle)
        done.append(Path(f"/proc/self/fd/{handle}").readlink().name)

    def note_rename(path: Path, target: Path) -> Path:
        done.append("rename")
        return rename(path, target)

    def note_answer(*about: object) -> bytes:
        done.append("answer")
        return answer(*about)  # type: ignore[arg-type]  # whatever it was called with

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    monkeypatch.setattr(inflow, "response", note_answer)
    assert bench.send(FILM)[0].Status == 0

    (key,) = bench.spool.keys()
    assert {"image.dcm", "receipt.json"} < set(done[: done.index("rename")])
    assert done[done.index("rename") :] == ["rename", key[:2], "answer"]


@pytest.mark.parametrize("size", [1001, 16370, LARGEST_PDU - 6])
def test_a_film_is_the_same_in_whatever_pieces_it_comes(bench: Bench, tmp_path: Path, size: int) -> None:
    content = pdus.encoded(FILM)
    command = pdus.store_command(DX_PRESENTATION, FILM.SOPInstanceUID)
    peer = associated(bench)
    for at in range(0, len(command), 50):  # a command in pieces is rare, and right
        control = pdus.COMMAND | (pdus.LAST if at + 50 >= len(command) else 0)
        peer.send(pdus.pdu(pdus.DATA, pdus.pdv(1, control, command[at : at + 50])))
    answer = peer.send(*parts_of(content, size)).receive()
    peer.__exit__(None, None, None)

    assert pdus.statuses([answer]) == [0]
    assert list(not_on_disk(bench.spool, [saved(FILM, tmp_path / "film.dcm")])) == []


def test_one_pdu_may_hold_a_whole_message(bench: Bench, tmp_path: Path) -> None:
    command = pdus.store_command(DX_PRESENTATION, FILM.SOPInstanceUID)
    peer = associated(bench)
    whole = pdus.pdu(pdus.DATA, pdus.pdv(1, 3, command) + pdus.pdv(1, pdus.LAST, pdus.encoded(FILM)))
    assert pdus.statuses([peer.ask(whole)]) == [0]
    peer.__exit__(None, None, None)

    assert list(not_on_disk(bench.spool, [saved(FILM, tmp_path / "film.dcm")])) == []


def test_other_services_are_served_between_images(bench: Bench) -> None:
    """Red when pynetdicom's reactor is not woken for what is its."""
    peer = associated(bench)
    answers = [peer.ask(ECHO if number % 2 else pdus.store(FILM)) for number in range(4)]
    released, _ = peer.ask(pdus.RELEASE)
    peer.__exit__(None, None, None)

    assert (pdus.statuses(answers), released) == ([0, 0, 0, 0], pdus.RELEASE_RP)
    assert len(bench.receipts) == 2


def test_what_comes_right_behind_an_image_is_answered_in_turn(bench: Bench) -> None:
    """Red when what lies in the buffer does not count as having come."""
    peer = associated(bench)
    peer.send(pdus.store(FILM) + ECHO + pdus.store(FILM) + pdus.RELEASE)
    answers = [peer.receive() for _ in range(4)]
    peer.__exit__(None, None, None)

    assert pdus.statuses(answers[:3]) == [0, 0, 0]
    assert answers[3][0] == pdus.RELEASE_RP
    assert len(bench.receipts) == 2


def test_an_abort_right_behind_a_release_is_heard(bench: Bench) -> None:
    """Red when what lies in the buffer does not count as having come."""
    peer = associated(bench)
    peer.send(pdus.store(FILM) + pdus.RELEASE + pdus.ABORTED)

    assert settled(lambda: not bench.receiver._server.active_associations, 5)  # type: ignore[union-attr]  # started
    peer.__exit__(None, None, None)
