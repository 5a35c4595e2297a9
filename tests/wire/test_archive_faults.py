"""Each way in which an archive or the network fails: what becomes of a study, how often it is sent, what is held.

A study's two results go to a real peer on loopback; whatever goes wrong, it has each once, or they wait for a reason.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import select

from cxrnode.ledger.account import account
from cxrnode.ledger.quarantine import waiting
from cxrnode.ledger.roundlines import RoundLine, round_lines
from cxrnode.ledger.tables import objects
from cxrnode.results.series import SERIES
from cxrnode.settings.destination import Destination
from tests.builders import make_cxr
from tests.cables import Cable
from tests.desks import open_desk, read_all, receive, turn
from tests.fakes import FakePacs
from workers import delivery
from workers.desk import Desk

Record = Callable[[str, object], None]
HOUR = timedelta(hours=1)
ARROW = "C-STORE to the archive"
REPORT, OVERLAY = SERIES["report"].sop_class_uid, SERIES["overlay"].sop_class_uid
RELEASE_RP = 10
"""bytes of the last PDU that a peer sends (PS3.8 Table 9-25)"""


@dataclass
class Case:
    """A desk that owes an archive the report and the overlay of one study."""

    desk: Desk
    pacs: FakePacs
    tries: int = 0

    def go_on(self) -> None:
        """Everything that is due an hour later each time, until nothing is left to do; an hour more each time."""
        while self.line.state != "finished":
            self.tries += 1
            assert self.tries < 9, self.line
            turn(self.desk, datetime.now(UTC) + self.tries * HOUR)

    @property
    def line(self) -> RoundLine:
        (only,) = round_lines(self.desk.ledger)
        return only

    @property
    def sent(self) -> list[int]:
        """How often each object was sent, the report first."""
        counts = Counter(uid for uid, _ in self.pacs.attempts)
        with self.desk.ledger.reading() as db:
            rows = db.execute(select(objects).order_by(objects.c.role.desc())).all()
        return [counts[row.sop_instance_uid] for row in rows]

    def once(self) -> bool:
        """Whether the archive, which keeps the first of a UID, has both objects, and never got other bytes for one."""
        uids = {one.SOPInstanceUID for one in self.pacs.stored}
        return len(uids) == len(set(self.pacs.attempts)) == 2 and account(self.desk.ledger, self.desk.spool).balanced


def owing(folder: Path, pacs: FakePacs, destination: Destination | None = None, **settings: object) -> Case:
    given = {"name": "fake", "commitment": "off", "timeout_s": 5} | settings
    desk = open_desk(folder, [destination or pacs.destination(**given)])
    receive(desk, make_cxr())
    read_all(desk, now=datetime.now(UTC))
    return Case(desk, pacs)


@pytest.mark.parametrize("status", [0xA700, 0xA7FF, 0x0110])
def test_out_of_resources_is_asked_again_and_only_for_what_was_not_taken(
    tmp_path: Path, status: int, record_property: Record
) -> None:
    """Red when `judge` does not know the status for a transient one."""
    record_property("matrix", (ARROW, f"archive answers 0x{status:04X}", "I2, I3"))
    with FakePacs(statuses=[0x0000, status]).listening() as pacs:
        case = owing(tmp_path, pacs)
        turn(case.desk)
        assert case.line.deliveries == {"fake": "1 accepted, 1 due"}
        assert f"status 0x{status:04X}" in case.line.last_error
        case.go_on()
    assert case.line.deliveries == {"fake": "2 accepted"}
    assert (case.sent, case.once()) == ([1, 2], True)


@pytest.mark.parametrize("status", [0xA900, 0xA9FF, 0xC000, 0x0122, 0x0124])
def test_a_refusal_is_final_waits_for_a_person_and_stops_no_other_object(
    tmp_path: Path, status: int, record_property: Record
) -> None:
    """Red when `judge` makes it LATER: it is sent for ever."""
    record_property("matrix", (ARROW, f"archive answers 0x{status:04X}", "I2, I3, I5"))
    with FakePacs(statuses=[status]).listening() as pacs:
        case = owing(tmp_path, pacs)
        case.go_on()
        assert turn(case.desk, datetime.now(UTC) + 9 * HOUR) == 0
    assert case.line.deliveries == {"fake": "1 accepted, 1 refused"}
    assert case.sent == [1, 1]
    assert [one.SOPClassUID for one in pacs.stored] == [OVERLAY]
    (waits,) = waiting(case.desk.ledger)
    assert waits.reason == f"fake: status 0x{status:04X}"


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0x0107])
def test_a_warning_is_acceptance(tmp_path: Path, status: int, record_property: Record) -> None:
    record_property("matrix", (ARROW, f"archive answers 0x{status:04X}", "I2, I3"))
    with FakePacs(statuses=[status, status]).listening() as pacs:
        case = owing(tmp_path, pacs)
        case.go_on()
    assert case.line.deliveries == {"fake": "2 accepted"}
    assert case.sent == [1, 1]


def test_a_family_without_a_presentation_context_is_refused_and_the_other_goes(
    tmp_path: Path, record_property: Record
) -> None:
    """Red when the ValueError of pynetdicom ends the delivery."""
    record_property("matrix", (ARROW, "no presentation context for a family", "I2, I3, I5"))
    with FakePacs(storage_classes=[OVERLAY]).listening() as pacs:
        case = owing(tmp_path, pacs)
        case.go_on()
    assert case.line.deliveries == {"fake": "1 accepted, 1 refused"}
    assert case.sent == [0, 1]
    (waits,) = waiting(case.desk.ledger)
    assert waits.reason == "fake accepts no presentation context for Comprehensive 3D SR Storage"


def test_an_archive_that_is_slow_is_waited_for(tmp_path: Path, record_property: Record) -> None:
    record_property("matrix", (ARROW, "archive slow, within timeout_s", "I2, I3"))
    with FakePacs(delays_s=[0.5, 0.5]).listening() as pacs:
        case = owing(tmp_path, pacs)
        case.go_on()
    assert (case.sent, case.once(), case.tries) == ([1, 1], True, 1)


def test_an_archive_that_is_too_slow_is_sent_the_same_again(tmp_path: Path, record_property: Record) -> None:
    """It has stored what it did not answer for in time: that is the one duplicate that there may be."""
    record_property("matrix", (ARROW, "archive slow, beyond timeout_s", "I2, I3"))
    with FakePacs(delays_s=[0.0, 4.0]).listening() as pacs:
        case = owing(tmp_path, pacs, timeout_s=1.5)
        case.go_on()
    assert case.line.deliveries == {"fake": "2 accepted"}
    assert (case.sent, case.once()) == ([1, 2], True)


def test_an_archive_that_aborts_gets_the_rest_later(tmp_path: Path, record_property: Record) -> None:
    record_property("matrix", (ARROW, "archive aborts", "I2, I3"))
    with FakePacs(drop_after=1).listening() as pacs:
        case = owing(tmp_path, pacs)
        turn(case.desk)
        assert case.line.deliveries == {"fake": "1 accepted, 1 due"}
        pacs.drop_after = None
        case.go_on()
    assert (case.sent, case.once()) == ([1, 1], True)


@pytest.mark.parametrize("killed", ["before the answer is noted", "after the answer is noted"])
def test_a_worker_that_dies_between_two_objects(tmp_path: Path, killed: str, record_property: Record) -> None:
    """Our side goes away: what was noted is not sent again. Red without `Fate.DUE` in `parcels.outstanding`."""
    record_property("matrix", (ARROW, f"sender dies {killed}", "I2, I3"))

    class Killed(BaseException):
        pass

    note = delivery.parcels.note_fate

    def die(*arguments: object, **named: object) -> None:
        if killed.startswith("after"):
            note(*arguments, **named)  # type: ignore[arg-type]  # passed on as they came
        raise Killed

    with FakePacs().listening() as pacs:
        case = owing(tmp_path, pacs)
        with patch.object(delivery.parcels, "note_fate", die), pytest.raises(Killed):
            turn(case.desk)
        case.go_on()
    assert (case.sent, case.once()) == ([2 if killed.startswith("before") else 1, 1], True)


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_the_network_is_cut_on_the_way_there(tmp_path: Path, part: float, record_property: Record) -> None:
    """In mid PDU of an object's data set: the archive has nothing of it."""
    record_property("matrix", (ARROW, f"network cut there, at {part:.0%} of the bytes", "I2, I3"))
    with FakePacs().listening() as pacs, Cable(pacs.port).laid() as cable:
        whole = owing(tmp_path / "whole", pacs, port=cable.port)
        whole.go_on()
        pacs.attempts.clear()
        pacs.stored.clear()
        cable.there, cable.cuts = int(cable.carried[0] * part), 2
        case = owing(tmp_path / "cut", pacs, port=cable.port)
        turn(case.desk)
        assert "fake" in case.line.last_error
        assert len(pacs.attempts) == 1
        case.go_on()
    assert case.line.deliveries == {"fake": "2 accepted"}
    assert (case.sent, case.once(), cable.calls) == ([1, 1], True, 3)


def test_the_answer_is_lost_on_the_way_back(tmp_path: Path, record_property: Record) -> None:
    """In mid PDU of the last answer: the archive has both objects, we know of one; the other is sent again."""
    record_property("matrix", (ARROW, "network cut on the way back, the object stored", "I2, I3"))
    with FakePacs().listening() as pacs, Cable(pacs.port).laid() as cable:
        whole = owing(tmp_path / "whole", pacs, port=cable.port)
        whole.go_on()
        pacs.attempts.clear()
        pacs.stored.clear()
        cable.back, cable.cuts = cable.carried[1] - RELEASE_RP - 5, 2
        case = owing(tmp_path / "cut", pacs, port=cable.port)
        turn(case.desk)
        assert case.line.deliveries == {"fake": "1 accepted, 1 due"}
        assert len(pacs.stored) == 2
        case.go_on()
    assert case.line.deliveries == {"fake": "2 accepted"}
    assert (case.sent, case.once()) == ([1, 2], True)


@pytest.mark.parametrize(
    ("reject", "told"),
    [
        ((1, 1, 7), "Called AE title not recognised"),
        ((1, 1, 3), "Calling AE title not recognised"),
        ((2, 3, 1), "Temporary congestion"),
        ((2, 3, 2), "Local limit exceeded"),
    ],
)
def test_a_rejected_association_is_asked_for_again_whether_for_good_or_for_now(
    tmp_path: Path, reject: tuple[int, int, int], told: str, record_property: Record
) -> None:
    """Rejected for good is the archive's entry for us, which an operator mends: nothing is refused, it is told."""
    record_property("matrix", (ARROW, f"association rejected: {told}", "I2, I3"))
    with FakePacs(rejects=[reject]).listening() as pacs:
        case = owing(tmp_path, pacs)
        turn(case.desk)
        assert case.line.deliveries == {"fake": "2 due"}
        assert "rejected the association" in case.line.last_error
        assert told.lower() in case.line.last_error.lower()
        case.go_on()
    assert (case.sent, case.once(), case.tries) == ([1, 1], True, 1)
