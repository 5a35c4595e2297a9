"""Results go back to whoever sent the study: to the address that it came from, at the port that the settings give."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from cxrnode.check.looking import looks
from cxrnode.commands.samples import free_ports
from cxrnode.commitment import Reports
from cxrnode.errors import SettingsError
from cxrnode.headers.routing import Choice
from cxrnode.ledger import circuits, returns, withdrawals
from cxrnode.ledger.account import account
from cxrnode.ledger.circuits import OPENS_AFTER
from cxrnode.ledger.quarantine import reopen, waiting
from cxrnode.ledger.returns import Origin
from cxrnode.ledger.roundlines import round_lines
from cxrnode.settings import load
from cxrnode.settings.destination import Destination
from tests.builders import make_cxr
from tests.desks import T0, open_desk, read_all, receive, turn
from tests.fakes import FakeModel, FakePacs
from workers.desk import Desk

HERE = "127.0.0.1"
HOUR = timedelta(hours=1)
BACK = Destination.model_validate(
    {"name": "sender", "return_to_sender": True, "commitment": "off", "timeout_s": 3, "send": {"positive": ["report"]}}
)


def sender(ae_title: str, port: int | None, **more: object) -> dict[str, object]:
    there = {} if port is None else {"return_port": port}
    return {"ae_title": ae_title, "addresses": [HERE, "192.0.2.0/24"], **there, **more}


def node(folder: Path, *senders: dict[str, object], **settings: Any) -> Desk:
    return open_desk(folder, [BACK], receiving={"reserve_gb": 0, "senders": senders}, **settings)


def study(desk: Desk, calling_ae: str, *, address: str = HERE, **values: object) -> None:
    """One more study that was read."""
    receive(desk, make_cxr(**values), calling_ae, address=address, at=datetime.now(UTC) - HOUR)
    read_all(desk, now=datetime.now(UTC))


@contextmanager
def two() -> Iterator[tuple[FakePacs, FakePacs]]:
    with FakePacs().listening() as one, FakePacs().listening() as other:
        yield one, other


def test_each_sender_gets_the_results_of_its_own_studies(tmp_path: Path) -> None:
    """Red when `returns.origins` does not ask for the round's own study."""
    first, second = make_cxr(), make_cxr()
    with two() as (one, other):
        desk = node(tmp_path, sender("ONE", one.port), sender("OTHER", other.port, return_ae_title="STORE"))
        for film, ae in ((first, "ONE"), (second, "OTHER")):
            receive(desk, film, ae, address=HERE)
            read_all(desk, now=datetime.now(UTC))
            turn(desk)
        assert [line.deliveries for line in round_lines(desk.ledger)] == [{"sender": "1 accepted"}] * 2
    assert [report.StudyInstanceUID for report in one.stored] == [first.StudyInstanceUID]
    assert [report.StudyInstanceUID for report in other.stored] == [second.StudyInstanceUID]


def test_a_sender_without_a_port_is_told_and_gets_them_once_it_has_one(tmp_path: Path) -> None:
    """Red when NoWayBack is passed over in `delivery._deliver`."""
    desk = node(tmp_path, sender("ONE", None), sender("OTHER", 104))
    study(desk, "ONE")
    turn(desk)
    (waits,) = waiting(desk.ledger)
    assert waits.reason == "sender: nothing can be sent to ONE: no return_port in receiving.senders"
    (line,) = round_lines(desk.ledger)
    assert (line.state, line.deliveries) == ("finished", {"sender": "1 given up"})
    (place,) = account(desk.ledger, desk.spool).lines
    assert place.place == "finished, not all delivered"

    with FakePacs().listening() as pacs:
        mended = node(tmp_path, sender("ONE", pacs.port))
        assert reopen(mended.ledger, waits, datetime.now(UTC))
        turn(mended)
        (line,) = round_lines(mended.ledger)
        assert (line.state, line.deliveries) == ("finished", {"sender": "1 accepted"})
    assert len(pacs.stored) == 1


def test_an_address_that_the_settings_do_not_admit_any_more_is_not_called(tmp_path: Path) -> None:
    """Red when `peers._calls` goes by the AE title alone."""
    with FakePacs().listening() as pacs:
        desk = node(tmp_path, sender("ONE", pacs.port))
        study(desk, "ONE", address="127.0.0.9")
        turn(desk)
        (waits,) = waiting(desk.ledger)
    assert "nothing can be sent to ONE" in waits.reason
    assert pacs.attempts == []


def test_one_sender_that_is_away_does_not_keep_the_others_from_their_results(tmp_path: Path) -> None:
    """Each has a circuit of its own. Red when `circuits.peer_of_task` is the destination's name alone."""
    port = free_ports(1)[0]
    with FakePacs().listening() as pacs:
        desk = node(tmp_path, sender("AWAY", port), sender("HERE", pacs.port), delivery={"first_retry_s": 60.0})
        for _ in range(OPENS_AFTER):
            study(desk, "AWAY")
            turn(desk)
        study(desk, "AWAY")
        study(desk, "HERE")
        assert turn(desk) == 1
        (told,) = circuits.opened(desk.ledger)
    assert (told.destination, told.peer, told.waiting) == ("sender", f"sender AWAY@{HERE}", OPENS_AFTER + 1)
    assert len(pacs.stored) == 1


def test_of_several_senders_the_first_with_a_port_gets_all_rounds(tmp_path: Path) -> None:
    """Red when the last is taken."""
    film = make_cxr()
    with two() as (one, other):
        desk = node(tmp_path, sender("MUTE", None), sender("ONE", one.port), sender("OTHER", other.port))
        for second, ae in enumerate(("MUTE", "ONE", "OTHER")):
            later = make_cxr(StudyInstanceUID=film.StudyInstanceUID, SOPInstanceUID=generate_uid())
            receive(desk, later, ae, address=HERE, at=T0 + timedelta(seconds=second))
        read_all(desk, now=datetime.now(UTC))
        turn(desk)
        late = make_cxr(StudyInstanceUID=film.StudyInstanceUID, SOPInstanceUID=generate_uid())
        receive(desk, late, "OTHER", address=HERE, at=T0 + HOUR)
        read_all(desk, now=datetime.now(UTC))
        turn(desk)
    assert (len(one.stored), len(other.stored)) == (2, 0)


def test_a_withdrawal_goes_to_the_sender_that_has_the_results(tmp_path: Path) -> None:
    """Though an earlier one of the study has a port by now. Red when `returns.noted` is not asked."""
    film = make_cxr()
    with two() as (one, other):
        desk = node(tmp_path, sender("FIRST", None), sender("ONE", one.port))
        for second, ae in enumerate(("FIRST", "ONE")):
            copy = make_cxr(StudyInstanceUID=film.StudyInstanceUID, SOPInstanceUID=generate_uid())
            receive(desk, copy, ae, address=HERE, at=T0 + timedelta(seconds=second))
        read_all(desk, now=datetime.now(UTC))
        turn(desk)
        (key,) = withdrawals.chosen(desk.ledger, model="made-up")
        assert returns.noted(desk.ledger, key, "sender") == Origin("ONE", HERE)
        withdrawals.withdraw(desk.ledger, key, "wrong", datetime.now(UTC))
        turn(node(tmp_path, sender("FIRST", other.port), sender("ONE", one.port)))
    report, note = one.stored
    assert other.stored == []
    rejected = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert [item.ReferencedSOPInstanceUID for item in rejected] == [report.SOPInstanceUID]


def test_a_route_may_name_it(tmp_path: Path) -> None:
    routes = [{"name": "here", "calling_ae": ["ONE"], "model": "made-up", "destinations": ["sender"]}]
    with FakePacs().listening() as pacs:
        receiving = {"reserve_gb": 0, "senders": [sender("ONE", pacs.port), sender("OTHER", pacs.port)]}
        desk = open_desk(tmp_path, [BACK], routes, receiving=receiving)

        for ae in ("ONE", "OTHER"):
            receive(desk, make_cxr(), ae, address=HERE)
            read_all(desk, {Choice("made-up"): FakeModel()}, now=datetime.now(UTC))
            turn(desk)
    assert len(pacs.stored) == 1


def test_a_sender_that_is_asked_for_commitment_may_report(tmp_path: Path) -> None:
    """By the AE title that it is called by, from its addresses. Red without `one.is_at(address)` in `Reports.of`."""
    settings = node(tmp_path, sender("ONE", 104, return_ae_title="STORE"), sender("MUTE", None)).settings
    asked = BACK.model_copy(update={"commitment": "if offered"})
    reports = Reports([asked], settings.receiving.senders)
    assert reports.of("STORE", "192.0.2.7", sender=False) == ["sender"]
    assert reports.of("ONE", HERE, sender=True) == []
    assert reports.of("STORE", "198.51.100.1", sender=False) == []
    assert reports.of("MUTE", HERE, sender=True) == []
    assert Reports([BACK], settings.receiving.senders).of("STORE", HERE, sender=False) == []


def test_check_asks_each_sender_whose_address_is_known(tmp_path: Path) -> None:
    with FakePacs().listening() as pacs:
        desk = node(tmp_path, sender("ONE", pacs.port), sender("MUTE", None))
        told = dict(looks(desk.settings))["destination sender"]()
    assert f"ONE at {HERE}:{pacs.port} answers C-ECHO and takes report, overlay" in told
    assert "ONE at whichever of 127.0.0.1, 192.0.2.0/24 it sends from: not tried" in told
    assert "nothing can be sent to MUTE: no return_port" in told


def test_a_destination_that_is_the_sender_has_no_place_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text('[[destinations]]\nname = "back"\nreturn_to_sender = true\nhost = "h"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match="goes where the study came from; wanted no host"):
        load(path)


def test_a_destination_that_is_the_sender_needs_one_that_can_be_called(tmp_path: Path) -> None:
    """Every study would end in quarantine. Red without that fault in `Settings._agree`."""
    path = tmp_path / "node.toml"
    named = '[[destinations]]\nname = "back"\nreturn_to_sender = true\n'
    mute = '[[receiving.senders]]\nae_title = "ONE"\naddresses = ["127.0.0.1"]\n'
    for written in (named, named + mute):
        path.write_text(written, encoding="utf-8")
        with pytest.raises(SettingsError, match="back: return_to_sender = true, and no "):
            load(path)
    path.write_text(named + mute + "return_port = 104\n", encoding="utf-8")
    assert load(path).destinations[0].return_to_sender
