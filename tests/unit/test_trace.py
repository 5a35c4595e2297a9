"""One study's day as the ledger tells it: in order, with durations, without UIDs unless they are asked for."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cxrnode.cli import app, main
from cxrnode.family import Family
from cxrnode.ledger import outcomes, work
from cxrnode.ledger.states import Fate
from cxrnode.ledger.timeline import timeline
from cxrnode.ledger.withdrawals import chosen, withdraw
from cxrnode.settings.destination import NOWHERE, Destination
from cxrnode.stopwatch import STAGES
from tests.builders import make_cxr
from tests.desks import open_desk, read_all, receive
from tests.ledgers import QUIET_S, T0, Bench


def test_a_whole_day_is_told_in_order_with_what_each_took(bench: Bench) -> None:
    bench.arrive("1.1")
    closed_at = bench.ready("1.2", at=T0 + timedelta(seconds=4))
    (held,) = bench.lease(closed_at)
    bench.finish(held, closed_at + timedelta(seconds=3), objects=2, sent_to=("pacs",))
    sent_at = closed_at + timedelta(seconds=5)
    bench.deliver(sent_at, "pacs", Fate.ACCEPTED, Fate.REFUSED)
    bench.correct("1.1", sent_at + timedelta(hours=1))
    (key,) = chosen(bench.ledger, study="1.9")
    withdraw(bench.ledger, key, "wrong", sent_at + timedelta(hours=2))

    told = timeline(bench.ledger, "1.9")
    assert [(event.what, event.took_s) for event in told.events] == [
        ("received", 4.0),
        ("complete", QUIET_S),
        ("analysed", 3.0),
        ("accepted", 2.0),
        ("refused", 2.0),
        ("received, correction", None),
        ("withdrawn", None),
        ("deliver pacs: due", None),
    ]
    received, _, analysed, accepted, *_, correction, _, _ = told.events
    assert (received.at, received.round_number, received.told) == (T0, 1, "2 images from A")
    assert received.uids == ("1.1", "1.2")
    assert analysed.told == "negative; m 1; 1 attempt"
    assert accepted.told == "report at pacs; 0x0000; 1 attempt"
    assert correction.told == "from PACS: PatientID"


def test_what_was_given_up_and_what_waits_are_told(bench: Bench) -> None:
    now = bench.ready("1.1")
    (held,) = bench.lease(now)
    assert timeline(bench.ledger, "1.9").events[-1].what == "analyse: under way"
    outcomes.abandon(bench.ledger, held, "stopped its worker", now)
    bench.ready("1.2", at=now + timedelta(days=1))
    (again,) = bench.lease(now + timedelta(days=2))
    work.put_back(bench.ledger, again, now + timedelta(days=3), "Trouble")

    *_, given_up, finished, late, complete, due = timeline(bench.ledger, "1.9").events
    assert (given_up.what, given_up.told) == ("given up", "failed; 1 attempt; stopped its worker")
    assert (finished.what, late.round_number, complete.round_number) == ("finished", 2, 2)
    assert (due.what, due.at, due.told) == ("analyse: due", now + timedelta(days=3), "1 attempt; Trouble")


def test_the_command_prints_uids_only_when_asked_and_knows_what_it_does_not_know(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Red when `_as_object` keeps the UIDs, or `_print_table` prints them always."""
    bench.arrive("1.2.826.77", study="1.2.826.9")
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(tmp_path))

    def run(*words: str) -> str:
        return CliRunner().invoke(app, ["trace", "1.2.826.9", *words]).output

    assert "1.2.826" not in run() + run("--json")
    assert "1.2.826.77" in run("--uids")
    assert json.loads(run("--json", "--uids"))["events"][0]["uids"] == ["1.2.826.77"]

    capsys.readouterr()  # what the ledger's upgrade said, where a test before this one has set the log up
    monkeypatch.setattr("sys.argv", ["cxrnode", "trace", "1.2.3"])
    with pytest.raises(SystemExit, match="2"):
        main()
    told = capsys.readouterr().err
    assert told.startswith("cxrnode: '1.2.3' means no study")
    assert told.count("\n") == 1


def test_where_the_time_of_an_analysis_went_is_told_stage_by_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when the ledger is not given the stages, or `timeline` leaves them out."""
    everything = {"positive": list(Family)}
    pacs = Destination.model_validate(NOWHERE | {"name": "pacs", "host": "127.0.0.1", "send": everything})
    desk, film = open_desk(tmp_path, [pacs]), make_cxr()
    receive(desk, film)
    read_all(desk)
    desk.ledger.close()
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(tmp_path))
    monkeypatch.setenv("CXRNODE_LEDGER__URL", desk.settings.ledger_url)
    ask = ["trace", film.StudyInstanceUID]

    told = json.loads(CliRunner().invoke(app, [*ask, "--json"]).output)
    (stages,) = [event["stages_ms"] for event in told["events"] if event["stages_ms"]]

    assert set(stages) == set(STAGES) - {"gate", "lungs"}, "a made-up model has no gate and looks for no lungs"
    assert all(ms >= 0 for ms in stages.values())
    table = CliRunner().invoke(app, ask).output
    assert "Round 1, analysed" in table
    assert all(name in table for name in stages)
