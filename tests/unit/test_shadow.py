"""A shadow model: it reads what was read live, after it, and nothing of it goes anywhere; `compare` has both."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cxrnode.errors import SettingsError
from cxrnode.headers.routing import Choice, choices, decide
from cxrnode.ledger import arrivals, comparisons, outcomes, replays, work
from cxrnode.ledger.account import account, recount
from cxrnode.ledger.roundlines import RoundLine, round_lines
from cxrnode.ledger.states import Lane, Work
from cxrnode.settings import Settings, load
from tests.builders import make_cxr, remade
from tests.desks import QUIET_S, open_desk, read_all, receive, turn
from tests.fakes import ALGORITHM, FakeModel, FakePacs
from workers.analysis import analyse_leased
from workers.desk import Desk

LIVE, SHADOW = Choice("live"), Choice("shade")
MODEL = {"name": "live", "shadow": "shade"}
NOW = datetime.now(UTC)
SOON = timedelta(seconds=QUIET_S)


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    with FakePacs().listening() as listening:
        yield listening


@pytest.fixture
def desk(tmp_path: Path, pacs: FakePacs) -> Iterator[Desk]:
    made = open_desk(tmp_path, [pacs.destination(commitment="off")], model=MODEL)
    yield made
    made.ledger.close()


def models(live: float = 0.9, shade: float = 0.2) -> dict[Choice, FakeModel]:
    other = replace(ALGORITHM, name="shade", digest="ef" * 32)
    return {
        LIVE: FakeModel([live] * 9, algorithm=replace(ALGORITHM, name="live")),
        SHADOW: FakeModel([shade] * 9, algorithm=other),
    }


def lines(desk: Desk) -> dict[int, RoundLine]:
    return {line.round_number: line for line in round_lines(desk.ledger)}


def later() -> datetime:
    return datetime.now(UTC) + SOON


def test_a_live_study_is_read_by_it_too_in_the_lane_below_and_nothing_of_that_is_sent(
    desk: Desk, pacs: FakePacs
) -> None:
    """Red when the order sends, or the round is made in the live lane."""
    receive(desk, make_cxr(), at=NOW)
    known = models()

    read_all(desk, known, now=later())
    (waiting,) = [task for task in work.due(desk.ledger, later(), {}) if task.work is Work.ANALYSE]
    assert waiting.lane is Lane.REPLAY
    assert known[SHADOW].batches == []
    read_all(desk, known, now=later())
    turn(desk, later())

    told = lines(desk)
    assert [(told[n].model, told[n].outcome, told[n].state) for n in (1, 2)] == [
        ("live 1", "positive", "finished"),
        ("shade 1", "negative", "finished"),
    ]
    assert (told[2].deliveries, told[2].closed, told[2].objects > 0) == ({}, "shadow", True)
    assert {one.ManufacturerModelName for one in pacs.stored if "ManufacturerModelName" in one} == {"live"}
    total = account(desk.ledger, desk.spool)
    assert [(line.place, line.outcome) for line in total.lines] == [("finished, delivered", "positive")]
    assert recount(desk.ledger, desk.spool).agreed


def test_compare_has_what_either_said(desk: Desk) -> None:
    receive(desk, make_cxr(), at=NOW)
    known = models()
    read_all(desk, known, now=later())
    read_all(desk, known, now=later())

    a, b = comparisons.models_named(desk.ledger, "live", "shade")
    (pair,) = comparisons.pairs(desk.ledger, a, b)

    assert pair.a is not None
    assert pair.b is not None
    assert (pair.a.probability, pair.b.probability) == (0.9, 0.2)


def test_it_has_no_shadow_of_its_own_and_is_no_replay_that_anybody_began(desk: Desk) -> None:
    receive(desk, make_cxr(), at=NOW)
    known = models()
    read_all(desk, known, now=later())
    read_all(desk, known, now=later())

    assert [task for task in work.due(desk.ledger, later(), {}) if task.work is Work.ANALYSE] == []
    assert replays.listed(desk.ledger) == []
    assert replays.pause(desk.ledger, None, NOW) == []


def test_results_that_wait_are_sent_although_the_shadow_has_read_since(desk: Desk, pacs: FakePacs) -> None:
    receive(desk, make_cxr(), at=NOW)
    known = models()
    read_all(desk, known, now=later())
    read_all(desk, known, now=later())

    turn(desk, later())

    assert len(pacs.stored) == 2
    assert lines(desk)[1].deliveries == {"fake": "2 accepted"}


def test_a_late_image_opens_a_round_whose_report_names_the_live_one_as_before(desk: Desk, pacs: FakePacs) -> None:
    film = make_cxr()
    receive(desk, film, at=NOW)
    known = models()
    read_all(desk, known, now=later())
    read_all(desk, known, now=later())
    turn(desk, later())
    first = next(one for one in pacs.stored if one.Modality == "SR")

    receive(desk, remade(film, SOPInstanceUID="1.2.826.77.1", InstanceNumber=2), at=datetime.now(UTC))
    read_all(desk, known, now=later() + SOON)
    turn(desk, later())

    second = [one for one in pacs.stored if one.Modality == "SR"][-1]
    named = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert lines(desk)[3].lane == Lane.LIVE


def test_while_more_is_arriving_the_shadow_waits_for_that_round(desk: Desk) -> None:
    film = make_cxr()
    receive(desk, film, at=NOW)
    known = models()
    held = due_analyses(desk)
    receive(desk, remade(film, SOPInstanceUID="1.2.826.77.2", InstanceNumber=2), at=datetime.now(UTC))
    analyse_leased(desk, held, known.__getitem__)

    assert [task for task in work.due(desk.ledger, datetime.now(UTC), {}) if task.work is Work.ANALYSE] == []
    assert sorted(lines(desk)) == [1, 2]


def due_analyses(desk: Desk) -> list[Any]:
    arrivals.close_settled(desk.ledger, QUIET_S, later())
    (task,) = work.due(desk.ledger, later(), {})
    return work.lease(desk.ledger, task.task_key, later(), 600)


def test_what_is_no_chest_film_is_not_read_again(desk: Desk) -> None:
    receive(desk, make_cxr(BodyPartExamined="FOOT"), at=NOW)

    read_all(desk, models(), now=later())

    assert sorted(lines(desk)) == [1]


ROUTES = [
    {"name": "near", "calling_ae": ["A"], "model": "live"},
    {"name": "bare", "calling_ae": ["B"], "model": "live", "shadow": ""},
    {"name": "own", "calling_ae": ["C"], "model": "shade"},
    {"name": "third", "calling_ae": ["D"], "model": "live", "shadow": "third", "prevalence": 0.05},
]


def test_a_route_has_that_of_model_or_its_own_or_none(tmp_path: Path) -> None:
    made = open_desk(tmp_path, [], ROUTES, model=MODEL)
    shadows = {}
    for ae_title in "ABCD":
        receive(made, make_cxr(PatientID=ae_title), ae_title, at=NOW)
    arrivals.close_settled(made.ledger, QUIET_S, later())
    for task in work.due(made.ledger, later(), {}):
        (held,) = work.lease(made.ledger, task.task_key, later(), 600)
        decision = decide(outcomes.study_of(made.ledger, made.spool, held.round_key), made.settings)
        shadows[decision.route] = decision.shadow

    assert shadows == {"near": "shade", "bare": "", "own": "", "third": "third"}
    wanted = (Choice("live"), Choice("shade"), Choice("live", 0.05), Choice("third", 0.05))
    assert set(choices(made.settings)) == set(wanted)
    made.ledger.close()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[model]\nname = "m"\nshadow = "m"\n', "model.shadow = 'm' is model.name"),
        ('[[routes]]\nname = "r"\nmodel = "m"\nshadow = "m"\n', "route r: shadow = 'm' is its model"),
    ],
)
def test_a_model_that_is_its_own_shadow_is_a_fault(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(SettingsError, match="shadow") as caught:
        load(path)
    assert fault in str(caught.value)


def test_without_one_the_settings_ask_for_one_model() -> None:
    assert choices(Settings()) == (Choice(Settings().model.name),)
