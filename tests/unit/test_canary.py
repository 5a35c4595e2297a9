"""The canary: sent when it is time, read as any study is, sent to its own destination alone, in no count."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cxrnode.audit.recorder import folder_of
from cxrnode.cli import app
from cxrnode.commands import lookout
from cxrnode.commands.samples import free_ports
from cxrnode.errors import PeerUnavailable, SettingsError
from cxrnode.finding import Refusal
from cxrnode.headers.routing import Choice
from cxrnode.ledger import arrivals, canaries, clock, comparisons
from cxrnode.ledger.account import account, recount
from cxrnode.ledger.roundlines import round_lines
from cxrnode.metrics.quality import of_canary
from cxrnode.radiograph import Radiograph
from cxrnode.serving.canary import Canary
from cxrnode.serving.phantom import chest_film
from cxrnode.settings import Settings, load
from cxrnode.settings.destination import Destination
from models.gate import load as load_gate
from models.gatecard import find_gate
from tests.builders import make_cxr
from tests.cages import CANARY, SOON, T0, Cage
from tests.desks import HOUR, QUIET_S, open_desk, read_all, receive, turn
from tests.fakes import ALGORITHM, FakeModel, FakePacs
from tests.figures import counted


@pytest.fixture
def cage(tmp_path: Path) -> Iterator[Cage]:
    made = Cage(tmp_path)
    yield made
    made.desk.ledger.close()


@contextmanager
def caged(folder: Path, pacs: FakePacs) -> Iterator[Cage]:
    """One whose canaries go to a PACS of their own, and whose patients' results go to none that is there."""
    with pacs.listening():
        own = pacs.destination(name="aviary", commitment="off")
        clinic = Destination(name="pacs", ae_title="P", host="127.0.0.1", port=1)
        made = Cage(folder, clinic, own, canary=CANARY | {"destination": "aviary"})
        yield made
        made.desk.ledger.close()


def test_the_drawn_film_passes_the_gate_upright_and_not_otherwise() -> None:
    gate = load_gate(find_gate(None))
    drawn = chest_film(512)

    assert gate.objection(Radiograph.of(drawn)) == ""
    assert "upside-down" in gate.objection(Radiograph.of(np.ascontiguousarray(drawn[::-1])))
    assert "greys inverted" in gate.objection(Radiograph.of(1 - drawn))


def test_one_is_sent_at_once_then_every_so_often_whoever_looks(tmp_path: Path) -> None:
    """Red when `begin` does not look again within its own transaction's answer."""
    cage = Cage(tmp_path, canary=CANARY | {"within_s": 3600.0})
    desk = cage.desk
    other = Canary(desk.settings, desk.ledger, desk.spool, desk.recorder, cage.note)

    for minutes in range(0, 121, 10):
        cage.canary.turn(T0 + timedelta(minutes=minutes))
        other.turn(T0 + timedelta(minutes=minutes))

    assert len(cage.sent) == len(set(cage.sent)) == 3


def test_a_clock_that_was_put_back_by_a_year_does_not_silence_it(cage: Cage) -> None:
    before = T0 - timedelta(days=365)
    cage.canary.turn(T0)
    clock.put_back(cage.desk.ledger, before)
    cage.canary.turn(before + HOUR)

    assert len(cage.sent) == 2


def test_none_is_sent_where_none_is_wanted(tmp_path: Path) -> None:
    cage = Cage(tmp_path, canary={})

    cage.canary.turn(T0)

    assert cage.sent == []
    assert canaries.flock(cage.desk.ledger) is None


def test_it_comes_back_from_its_own_destination_and_is_in_no_count(tmp_path: Path) -> None:
    """Red when `decide` sends to all destinations, `placed` tells no canary, or `_count` is called for it."""
    with caged(tmp_path, pacs := FakePacs()) as cage:
        desk, before = cage.desk, counted("studies_analysed_total", model="made-up 1", outcome="positive")
        cage.canary.turn(T0)

        read_all(desk, now=T0 + SOON)
        turn(desk)
        cage.canary.turn(T0 + SOON)

        assert cage.flock().ended == cage.flock().latest
        flown = cage.flock().latest
        assert flown.took_s is not None
        assert (flown.back, flown.reason, flown.model, flown.probability) == (True, "", "made-up 1", 0.9)
        assert {str(one.PatientName) for one in pacs.stored} == {"CXRNODE^CANARY"}
        assert len(pacs.stored) == 2
        assert round_lines(desk.ledger) == []
        told = account(desk.ledger, desk.spool)
        assert [(line.place, line.instances) for line in told.lines] == [("canary", 1)]
        assert told.balanced
        assert recount(desk.ledger, desk.spool).agreed
        assert counted("studies_analysed_total", model="made-up 1", outcome="positive") == before


def test_a_patients_results_never_go_to_the_canarys_destination(tmp_path: Path) -> None:
    with caged(tmp_path, FakePacs()) as cage:
        receive(cage.desk, make_cxr())

        read_all(cage.desk)

        (line,) = round_lines(cage.desk.ledger)
        assert set(line.deliveries) == {"pacs"}


def test_where_no_route_takes_it_a_model_reads_it_all_the_same(tmp_path: Path) -> None:
    route = {"name": "grown", "age_years": [18, 90], "model": "grown"}
    cage = Cage(tmp_path)
    desk = open_desk(tmp_path / "routed", [], [route], canary=CANARY)
    cage.desk = desk
    cage.canary = Canary(desk.settings, desk.ledger, desk.spool, desk.recorder, cage.note)
    cage.canary.turn(T0)

    read_all(desk, {Choice("grown"): FakeModel()}, now=T0 + SOON)
    cage.canary.turn(T0 + SOON)

    assert cage.flock().latest.back


def test_it_is_erased_when_the_next_one_was_sent_and_what_came_of_it_is_known(cage: Cage) -> None:
    desk = cage.desk
    cage.canary.turn(T0)
    read_all(desk, now=T0 + SOON)
    cage.canary.turn(T0 + SOON)
    assert account(desk.ledger, desk.spool).total == 1

    cage.away = True
    cage.canary.turn(T0 + HOUR)
    cage.canary.turn(T0 + HOUR + SOON)

    assert account(desk.ledger, desk.spool).total == 0
    assert not [path for path in desk.spool.root.rglob("*") if path.is_file() and path.suffix == ".dcm"]
    assert cage.flock().back_at is not None
    trail = "".join(path.read_text(encoding="utf-8") for path in folder_of(desk.settings).iterdir())
    assert trail.count("CXRNODE-CANARY") == 1  # that it was deleted: the receiver tells of its arrival


LATE = T0 + timedelta(seconds=1801)


def test_one_that_nobody_received_is_lost_when_its_time_is_over(cage: Cage) -> None:
    cage.away = True
    cage.canary.turn(T0)
    assert cage.lost(T0 + SOON) == ""

    cage.canary.turn(LATE)

    assert cage.lost(LATE) == "after 1800 s it was not received"


@pytest.mark.parametrize(
    ("closed", "words"), [(False, "it has come and waits to be complete"), (True, "it waits to be read")]
)
def test_one_that_is_stuck_says_where(cage: Cage, words: str, *, closed: bool) -> None:
    cage.canary.turn(T0)
    if closed:
        arrivals.close_settled(cage.desk.ledger, QUIET_S, T0 + SOON)

    cage.canary.turn(LATE)

    assert cage.lost(LATE) == f"after 1800 s {words}"


def test_one_that_waits_for_its_destination_is_lost_and_the_next_that_comes_back_ends_the_alarm(
    tmp_path: Path,
) -> None:
    with caged(tmp_path, FakePacs()) as cage:
        cage.canary.turn(T0)
        read_all(cage.desk, now=T0 + SOON)
        cage.canary.turn(LATE)
        assert cage.lost(LATE) == "after 1800 s its results wait to be sent, or to be committed to"

        cage.canary.turn(T0 + HOUR)
        read_all(cage.desk, now=T0 + HOUR + SOON)
        turn(cage.desk, T0 + HOUR + SOON)
        cage.canary.turn(T0 + HOUR + SOON)

        assert cage.lost(T0 + HOUR + SOON) == ""


def test_one_whose_results_are_refused_is_lost_at_once(tmp_path: Path) -> None:
    with caged(tmp_path, FakePacs(statuses=[0xC000, 0x0000])) as cage:
        cage.canary.turn(T0)
        read_all(cage.desk, now=T0 + SOON)
        turn(cage.desk)

        cage.canary.turn(T0 + SOON)

        assert cage.lost(T0 + SOON) == "aviary: its results are refused"


def test_one_that_came_back_late_is_lost(tmp_path: Path) -> None:
    with caged(tmp_path, FakePacs()) as cage:
        cage.canary.turn(T0 - timedelta(seconds=1900))
        read_all(cage.desk, now=T0)
        turn(cage.desk)

        cage.canary.turn(T0)

        assert cage.lost(T0).endswith("s; wanted it within 1800 s")


def test_one_that_the_model_refuses_is_lost_with_the_reason(cage: Cage) -> None:
    class Refuses(FakeModel):
        def read(self, radiographs: Any) -> Any:
            return [Refusal("The pixels look like nothing") for _ in radiographs]

    cage.canary.turn(T0)
    read_all(cage.desk, {Choice(cage.desk.settings.model.name): Refuses(algorithm=ALGORITHM)}, now=T0 + SOON)

    cage.canary.turn(T0 + SOON)

    assert cage.lost(T0 + SOON) == "it was not read: refused: The pixels look like nothing"


def test_when_nobody_sends_or_looks_any_more_that_is_said(cage: Cage) -> None:
    cage.canary.turn(T0)

    assert cage.lost(T0 + timedelta(minutes=41)) == "nobody looks whether it has come back: no receiver runs"
    assert cage.lost(T0 + timedelta(hours=3)) == f"none was sent since {T0:%Y-%m-%d %H:%M} UTC"


def test_a_receiver_that_is_not_there_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real sender, to a port where nobody listens."""
    monkeypatch.setattr("cxrnode.serving.canary.AGAIN_S", 0.0)
    (port,) = free_ports(1)
    desk = open_desk(tmp_path, [], receiving={"reserve_gb": 0, "port": port}, canary=CANARY)
    canary = Canary(desk.settings, desk.ledger, desk.spool, desk.recorder, lambda send: send())

    canary.turn(T0)

    flock = canaries.flock(desk.ledger)
    assert flock is not None
    assert flock.ended is not None
    assert "receiver (CXRNODE at 127.0.0.1" in flock.ended.reason
    assert PeerUnavailable.__name__ not in flock.ended.reason
    assert not list(tmp_path.glob("canary-*"))


def test_status_and_figures_say_how_it_stands(cage: Cage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cage.canary.turn(T0)
    read_all(cage.desk, now=T0 + SOON)
    cage.canary.turn(T0 + SOON)
    settings = cage.desk.settings

    (words,) = lookout.in_words(lookout.look_out(settings, cage.desk.ledger, T0 + SOON))
    assert words.startswith("Canary: came back ")
    assert "read by made-up 1 with 0.900" in words
    later = T0 + timedelta(hours=3)
    (words,) = lookout.in_words(lookout.look_out(settings, cage.desk.ledger, later))
    assert words.startswith("CANARY LOST: none was sent since")
    assert of_canary(settings, cage.desk.ledger, T0 + SOON)[0].samples[0].value == 0
    assert of_canary(settings, cage.desk.ledger, later)[0].samples[0].value == 1

    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(tmp_path))
    monkeypatch.setenv("CXRNODE_LEDGER__URL", settings.ledger_url)
    monkeypatch.setenv("CXRNODE_CANARY__EVERY_H", "1")
    result = CliRunner().invoke(app, ["status", "--json"])
    assert result.exit_code == 0, result.output
    assert '"lost": ""' in result.output
    assert cage.sent[0] not in result.output


def test_a_comparison_has_no_canary(cage: Cage) -> None:
    cage.canary.turn(T0)
    read_all(cage.desk, now=T0 + SOON)

    assert list(comparisons.pairs(cage.desk.ledger, ["made-up 1"], ["other 1"])) == []


SENDER = '[[receiving.senders]]\nae_title = "{}"\naddresses = ["{}"]\n'


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("within_s = 10", "canary.within_s = 10; wanted it above receiving.quiet_s = 20"),
        ("within_s = 4000", "not above canary.every_h = 1"),
        ('destination = "x"', "canary.destination = 'x' is unknown; wanted one of: none is there"),
        ("\n" + SENDER.format("DX", "127.0.0.1"), "no entry of receiving.senders admits it from 127.0.0.1"),
        ("\n" + SENDER.format("CXRCANARY", "10.0.0.1"), "no entry of receiving.senders admits it from 127.0.0.1"),
    ],
)
def test_what_does_not_agree_with_it_is_a_fault(tmp_path: Path, table: str, fault: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(f"[canary]\nevery_h = 1\n{table}\n", encoding="utf-8")

    with pytest.raises(SettingsError, match=r"canary\.") as caught:
        load(path)
    assert fault in str(caught.value)


def test_a_sender_that_is_listed_for_it_is_enough_and_a_route_may_not_use_its_destination(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(f"[canary]\nevery_h = 1\n{SENDER.format('CXRCANARY', '127.0.0.1')}", encoding="utf-8")
    assert load(path).canary.every == HOUR

    aviary = Destination(name="aviary", ae_title="A", host="h", port=1)
    route: Any = {"name": "all", "model": "m", "destinations": ["aviary"]}
    with pytest.raises(ValueError, match="is the canary's; wanted one for patients"):
        Settings(canary={"destination": "aviary"}, destinations=[aviary], routes=[route])  # type: ignore[arg-type]  # as a file gives them
