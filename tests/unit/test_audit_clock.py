"""A clock that is put back by hours: the trail is told of what comes, and its collector too, as if it had not been."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cxrnode.audit.forward import Forwarder
from cxrnode.audit.trail import Trail
from cxrnode.ledger import clock
from cxrnode.receiving.intake import keep
from cxrnode.serving.reception import Reception
from cxrnode.settings import Node, Settings
from tests.audits import told
from tests.ledgers import QUIET_S, T0
from tests.unit.test_audit_arrivals import House
from tests.unit.test_audit_forwarding import UDP, Mailbox, write

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JUMP, QUIET = timedelta(hours=5), timedelta(seconds=QUIET_S)


def test_a_clock_that_is_put_back_loses_nothing(tmp_path: Path) -> None:
    """Red when only files after the last one are looked at."""
    trail, box = Trail(tmp_path), Mailbox()
    forwarder = Forwarder(trail, UDP, box.send)
    write(trail, "a", at=NOW + timedelta(days=300))
    forwarder.turn(NOW + timedelta(days=300))
    write(trail, "b")
    forwarder.turn(NOW)

    assert box.patients == ["a", "b"]


def test_a_collector_that_was_away_is_tried_again_as_soon_as_without_the_jump(tmp_path: Path) -> None:
    """Red when the next try is a moment alone: nothing was forwarded for as long as the clock had been ahead."""
    trail, box = Trail(tmp_path), Mailbox()
    forwarder, box.away = Forwarder(trail, UDP, box.send), True
    write(trail, "a")
    forwarder.turn(NOW)
    box.away = False

    assert forwarder.turn(NOW - JUMP) == 1


def test_what_came_before_the_jump_is_told_as_soon_as_without_it(tmp_path: Path) -> None:
    """Red without `transfers.last_at` among what happened and what is waited for."""
    house = House(tmp_path)
    house.arrive(house.receipt("1.1"))
    now = T0 - JUMP

    assert clock.put_back(house.bench.ledger, now) == JUMP
    assert house.tell(now + QUIET / 2) == []
    assert len(house.tell(now + QUIET)) == 1
    house.bench.ledger.close()


def test_a_receiver_goes_on_with_all_it_does_now_and_then(tmp_path: Path) -> None:
    """Red when its next times are moments alone: no trail, no canary, no count and no sweep, for five hours."""
    house, reception = House(tmp_path), Reception(Settings(node=Node(state_dir=tmp_path)))
    reception.turn(T0 + JUMP)
    reception.note(keep(house.bench.spool, house.content, house.receipt("1.1")))

    reception.turn(T0 + QUIET + timedelta(seconds=1))

    assert [one.requestor for one in told(tmp_path / "audit")] == ["DX1"]
    house.bench.ledger.close()
