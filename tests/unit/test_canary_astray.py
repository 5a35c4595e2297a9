"""Canaries when the clock jumps, a backup is restored, another process was first, or an alarm is to end."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cxrnode.backup import making
from cxrnode.backup.making import make
from cxrnode.backup.restoring import bring
from cxrnode.complete import sweep
from cxrnode.errors import PeerUnavailable, Unknown
from cxrnode.headers.age import patient_age
from cxrnode.ledger import canaries, clock, copies, erasures, holdings
from cxrnode.ledger.roundlines import round_lines
from cxrnode.serving.canary import Canary, film
from cxrnode.settings.destination import Destination
from tests.builders import make_cxr
from tests.cages import SOON, T0, Cage
from tests.databases import drop_made
from tests.desks import HOUR, open_desk, read_all, receive

YEAR = timedelta(days=365)


@pytest.fixture
def cage(tmp_path: Path) -> Cage:
    return Cage(tmp_path / "old")


def test_a_clock_that_was_ahead_at_start_makes_no_swarm_of_them_and_the_alarm_still_tells(cage: Cage) -> None:
    """Red when `clock.put_back` knows nothing of canaries: one every two seconds, and no alarm, for a year."""
    cage.canary.turn(T0 + YEAR)
    read_all(cage.desk, now=T0 + YEAR + SOON)
    cage.canary.turn(T0 + YEAR + SOON)
    assert cage.flock().latest.back

    clock.put_back(cage.desk.ledger, T0)
    cage.away = True
    for seconds in range(0, 3600, 60):
        cage.canary.turn(T0 + timedelta(seconds=seconds))
    assert len(cage.sent) == 1

    cage.canary.turn(T0 + HOUR)
    cage.canary.turn(T0 + HOUR + timedelta(seconds=1801))
    assert cage.lost(T0 + HOUR + timedelta(seconds=1801)) == "after 1800 s it was not received"


def test_one_that_came_while_a_backup_was_made_is_no_patients_in_the_node_that_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when it is known by its row alone: its results would go to the clinic's archive, as a patient's."""
    clinic = Destination(name="clinic", ae_title="P", host="127.0.0.1", port=1)
    cage = Cage(tmp_path / "old", clinic)

    def copy_out(url: str, file: Path) -> None:
        copies.copy_out(url, file)
        cage.canary.turn(T0)

    cage.desk.ledger.close()
    with cage.desk.ledger.writing():
        pass  # there is a ledger
    monkeypatch.setattr(making, "copy_out", copy_out)
    make(cage.desk.settings, tmp_path / "kept", T0)
    cage.desk.ledger.close()
    drop_made()
    new = open_desk(tmp_path / "new", [clinic])
    bring(new.settings, tmp_path / "kept")
    assert sweep(new.spool, new.ledger) == 1

    read_all(new, now=T0 + SOON)

    assert round_lines(new.ledger) == []
    flock = canaries.flock(new.ledger)
    assert flock is not None
    canaries.conclude(new.ledger, T0 + HOUR)
    assert canaries.lost(canaries.flock(new.ledger), HOUR, T0 + HOUR) == ""


def test_one_that_another_receiver_has_erased_meanwhile_stops_nothing(
    cage: Cage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when the second one to erase it fails: that receiver would look through its whole disk."""
    desk = cage.desk
    cage.canary.turn(T0)
    read_all(desk, now=T0 + SOON)
    cage.canary.turn(T0 + SOON)
    cage.away = True
    spent = canaries.spent(desk.ledger) or [cage.flock().latest.study]
    cage.canary.turn(T0 + HOUR)
    monkeypatch.setattr(canaries, "spent", lambda _ledger: spent)

    Canary(desk.settings, desk.ledger, desk.spool, desk.recorder, cage.note).turn(T0 + HOUR + SOON)

    with pytest.raises(Unknown, match="no study"):
        erasures.erase(desk.ledger, spent[0], T0, lambda _: None)


def test_after_a_lost_one_the_next_is_sent_as_soon_as_its_time_is_over(cage: Cage) -> None:
    """Red when it waits for its hour, or its day: so long the alarm would go on after all was mended."""
    cage.away = True
    cage.canary.turn(T0)
    cage.canary.turn(T0 + timedelta(seconds=1801))
    cage.away = False
    assert cage.lost(T0 + timedelta(seconds=1802)) != ""

    cage.canary.turn(T0 + timedelta(seconds=1803))
    read_all(cage.desk, now=T0 + timedelta(seconds=1803) + SOON)
    cage.canary.turn(T0 + timedelta(seconds=1804) + SOON)

    assert cage.lost(T0 + timedelta(seconds=1900)) == ""
    assert len(cage.sent) == 2


def test_a_replay_of_what_the_node_has_leaves_them_out(cage: Cage) -> None:
    cage.canary.turn(T0)
    film = make_cxr()
    receive(cage.desk, film)

    assert [one.study for one in holdings.studies_kept(cage.desk.ledger)] == [film.StudyInstanceUID]


def test_one_of_another_age_is_no_childs(tmp_path: Path) -> None:
    """Red when the drawn patient is three years old whatever the model is for: one for adults may refuse that."""
    cage = Cage(tmp_path, canary={"every_h": 1.0, "within_s": 1800.0, "age_years": 45})

    age = patient_age(film(cage.desk.settings, "1.2.3", datetime.now(UTC)))

    assert age is not None
    assert age.years == 45


def test_a_receiver_that_begins_to_listen_a_moment_later_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when it is called once: the canary of a node that starts would be lost, and somebody woken."""
    desk = open_desk(tmp_path, [], canary={"every_h": 1.0, "within_s": 1800.0})
    called: list[object] = []

    def send(files: object, *_: object) -> None:
        called.append(files)
        if len(called) < 3:
            raise PeerUnavailable("receiver: connection refused")

    monkeypatch.setattr("cxrnode.serving.canary.send", send)
    monkeypatch.setattr("cxrnode.serving.canary.AGAIN_S", 0.0)

    Canary(desk.settings, desk.ledger, desk.spool, desk.recorder, lambda begin: begin()).turn(T0)

    flock = canaries.flock(desk.ledger)
    assert flock is not None
    assert (len(called), flock.ended) == (3, None)
