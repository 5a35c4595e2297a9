"""What comes in is told once for each study and association, however it comes, and whoever is killed meanwhile."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cxrnode.audit import arrivals as audited
from cxrnode.audit.recorder import Recorder
from cxrnode.complete import sweep
from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger import arrivals, transfers
from cxrnode.ledger.transfers import Transfer
from cxrnode.receipt import Receipt
from cxrnode.receiving.intake import keep
from cxrnode.serving.reception import Reception
from cxrnode.settings import Node, Settings
from tests.audits import PATIENT, STUDY, Told, told
from tests.builders import make_cxr
from tests.ledgers import QUIET_S, T0, Bench
from tests.nodes import saved

DX, SR = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.88.34"
LATER = T0 + timedelta(seconds=QUIET_S)


class House:
    """A ledger, a spool and a trail; what `arrive` keeps is a film of a made-up patient."""

    def __init__(self, root: Path) -> None:
        self.bench = Bench(root)
        self.recorder = Recorder(Settings(node=Node(state_dir=root)), "receiver")
        film = make_cxr()
        self.content, self.patient = saved(film, root / "film.dcm").read_bytes(), film.PatientID

    def receipt(self, uid: str, study: str = "1.9", **over: str) -> Receipt:
        key = self.bench.spool.key_for(uid)
        told = Receipt(key, uid, DX, study, "1.2", "0" * 64, 1, "DX1", "B", "10.0.0.1", "a-1", T0.isoformat())
        return replace(told, **over)

    def arrive(self, *receipts: Receipt) -> None:
        """They come, and the ledger learns of them together."""
        arrivals.note(self.bench.ledger, [keep(self.bench.spool, self.content, one) for one in receipts])

    def tell(self, now: object = LATER) -> list[Told]:
        """What is in the trail after another look."""
        audited.tell(self.bench.ledger, self.bench.spool, self.recorder, QUIET_S, now)
        return told(self.recorder.trail.folder)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.bench.ledger.close()


def test_a_study_over_an_association_is_one_message_however_many_images(house: House) -> None:
    """Red when `_way` leaves the association out."""
    house.arrive(*(house.receipt(f"1.1.{number}") for number in range(3)))
    house.arrive(house.receipt("1.1.7", sop_class_uid=SR), house.receipt("1.2.1", study="1.8"))
    house.arrive(house.receipt("1.1.8", association="a-2"))

    messages = house.tell()

    assert [(one.event, one.action, one.outcome) for one in messages] == [("DICOM Instances Transferred", "C", "0")] * 3
    assert {(one.subject(STUDY), one.requestor, tuple(one.counts.items())) for one in messages} == {
        ("1.9", "DX1", ((DX, 3), (SR, 1))),
        ("1.8", "DX1", ((DX, 1),)),
        ("1.9", "DX1", ((DX, 1),)),
    }
    assert {one.subject(PATIENT) for one in messages} == {house.patient}


def test_what_was_told_is_not_told_again_and_what_comes_later_is(house: House) -> None:
    house.arrive(house.receipt("1.1"))
    assert len(house.tell()) == 1
    assert len(house.tell()) == 1
    house.arrive(house.receipt("1.2", received_at=LATER.isoformat()))
    assert len(house.tell(LATER + timedelta(seconds=QUIET_S / 2))) == 1
    assert len(house.tell(LATER + timedelta(seconds=QUIET_S))) == 2


def test_a_sender_that_goes_on_is_told_when_it_has_ended(house: House) -> None:
    for turn in range(5):
        at = T0 + timedelta(seconds=turn * QUIET_S * 0.9)
        house.arrive(house.receipt(f"1.{turn}", received_at=at.isoformat()))
        assert house.tell(at) == []

    (message,) = house.tell(at + timedelta(seconds=QUIET_S))
    assert message.counts == {DX: 5}
    assert message.at == at.isoformat(timespec="milliseconds")


def test_what_was_here_already_is_told_as_read(house: House) -> None:
    """Red when `note` counts a duplicate as new."""
    house.arrive(house.receipt("1.1"))
    house.tell()
    house.arrive(house.receipt("1.1", association="a-9"))

    assert [one.action for one in house.tell()] == ["C", "R"]


def test_what_a_crash_kept_from_the_ledger_is_told_when_it_is_swept_in(house: House) -> None:
    keep(house.bench.spool, house.content, house.receipt("1.1"))
    assert house.tell() == []

    sweep(house.bench.spool, house.bench.ledger)

    assert [one.requestor for one in house.tell()] == ["DX1"]


def test_a_trail_that_cannot_be_written_leaves_the_arrival_to_be_told_later(house: House) -> None:
    """Red when the row goes before the message is on the disk."""
    house.arrive(house.receipt("1.1"))
    in_the_way = house.recorder.trail.folder
    in_the_way.write_text("no folder")
    audited.tell(house.bench.ledger, house.bench.spool, house.recorder, QUIET_S, LATER)
    in_the_way.unlink()

    assert [one.requestor for one in house.tell()] == ["DX1"]


def test_what_comes_while_its_message_is_made_is_told_with_the_rest_later(house: House) -> None:
    """Red when `settle` tells what has grown, or forgets it."""
    house.arrive(house.receipt("1.1"))
    (before,) = transfers.ended(house.bench.ledger, LATER)
    house.arrive(house.receipt("1.2"))

    assert transfers.settle(house.bench.ledger, [before], fail) == 0
    assert [one.counts for one in house.tell()] == [{DX: 2}]


def fail(some: Sequence[Transfer]) -> None:
    assert not some


def test_more_than_are_told_together_are_all_told(house: House) -> None:
    house.arrive(*(house.receipt(f"1.1.{number}", study=f"1.9.{number}") for number in range(transfers.MOST + 3)))

    assert len(house.tell()) == transfers.MOST + 3


def test_a_reception_that_ends_tells_what_has_come(tmp_path: Path) -> None:
    """Red without `_tell_all`."""
    settings = Settings(node=Node(state_dir=tmp_path))
    house, reception = House(tmp_path), Reception(settings)
    receipt = keep(house.bench.spool, house.content, house.receipt("1.1", received_at=T0.isoformat()))
    reception.note(receipt)
    reception.stop()
    reception.run()

    assert [one.requestor for one in told(tmp_path / "audit")] == ["DX1"]
    house.bench.ledger.close()


def test_a_ledger_that_is_away_leaves_the_trail_as_it_is(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.arrive(house.receipt("1.1"))

    def away(*_: object) -> None:
        raise LedgerUnavailable("away")

    with monkeypatch.context() as broken:
        broken.setattr(transfers, "settle", away)
        with pytest.raises(LedgerUnavailable):
            house.tell()
    assert len(house.tell()) == 1
