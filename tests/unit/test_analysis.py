"""workers.analysis: a leased batch is read model by model, and each study's results go where its route says."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from cxrnode.complete import sweep
from cxrnode.errors import ModelMismatch
from cxrnode.headers.routing import Choice
from cxrnode.ledger.roundlines import RoundLine, round_lines
from cxrnode.settings.destination import Destination
from tests.builders import make_cxr
from tests.desks import open_desk, read_all, receive
from tests.fakes import ALGORITHM, FakeModel
from workers.desk import Desk

KIDS, GROWN = Choice("kids"), Choice("grown", 0.05)
ROUTES = [
    {"name": "children", "age_years": [1, 5], "model": "kids", "destinations": ["near"]},
    {"name": "ward", "calling_ae": ["WARD9"], "model": "grown", "prevalence": 0.05, "destinations": ["far"]},
]
PACS = [Destination(name=name, ae_title="P", host="127.0.0.1", port=1) for name in ("near", "far")]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = open_desk(tmp_path, PACS, ROUTES)
    yield made
    made.ledger.close()


def read_lines(desk: Desk, known: dict[Choice, FakeModel]) -> dict[str, RoundLine]:
    """Read all that is due in one batch, and tell the rounds by their route."""
    read_all(desk, known)
    return {line.route: line for line in round_lines(desk.ledger)}


def models() -> dict[Choice, FakeModel]:
    grown = replace(ALGORITHM, name="grown", prevalence=0.05, card_prevalence=0.74, digest="ef" * 32)
    return {KIDS: FakeModel(algorithm=replace(ALGORITHM, name="kids")), GROWN: FakeModel(algorithm=grown)}


def test_one_batch_is_read_model_by_model_and_each_result_goes_where_its_route_says(desk: Desk) -> None:
    receive(desk, make_cxr())
    receive(desk, make_cxr(PatientAge="064Y"), "WARD9")
    receive(desk, make_cxr(PatientAge="005Y"), "WARD9")
    receive(desk, make_cxr(PatientAge="064Y"))
    known = models()

    lines = read_lines(desk, known)

    assert (known[KIDS].batches, known[GROWN].batches) == ([2], [1])
    told = {route: (line.model, line.prevalence, line.deliveries) for route, line in lines.items()}
    assert told == {
        "children": ("kids 1", 0.74, {"near": "2 due"}),
        "ward": ("grown 1", 0.05, {"far": "2 due"}),
        "": ("", None, {}),
    }
    assert (lines[""].outcome, lines[""].state, lines[""].objects) == ("not_applicable", "finished", 0)
    assert lines[""].reasons[0].endswith("children (age_years), ward (calling_ae)")


def test_the_report_names_the_model_that_its_route_chose(desk: Desk) -> None:
    receive(desk, make_cxr(PatientAge="064Y"), "WARD9")

    read_all(desk, models())

    reports = [pydicom.dcmread(path) for path in desk.spool.root.glob("results/*/*/report-*.dcm")]
    assert [report.ManufacturerModelName for report in reports] == ["grown"]


def test_who_sent_an_image_survives_a_ledger_that_was_away(desk: Desk) -> None:
    receive(desk, make_cxr(PatientAge="064Y"), "WARD9", ledger_away=True)
    assert sweep(desk.spool, desk.ledger) == 1

    assert set(read_lines(desk, models())) == {"ward"}


def test_a_model_that_fails_puts_back_its_own_studies_alone(desk: Desk) -> None:
    receive(desk, make_cxr())
    receive(desk, make_cxr(PatientAge="064Y"), "WARD9")
    known = models()
    known[GROWN].probabilities = [2.0]  # no probability at all: the finding raises ValueError

    lines = read_lines(desk, known)

    assert lines["children"].outcome == "positive"
    assert [(line.state, line.last_error) for line in round_lines(desk.ledger) if line.state == "ready"] == [
        ("ready", "ValueError")
    ]


def test_a_foot_without_a_route_keeps_its_own_reason(desk: Desk) -> None:
    receive(desk, make_cxr(BodyPartExamined="FOOT", StudyDescription="Foot"))

    line = read_lines(desk, models())[""]

    assert line.reasons == ("BodyPartExamined (0018,0015) is FOOT; wanted CHEST, THORAX, LUNG",)


def test_without_routes_one_model_reads_all_for_every_destination(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, PACS)
    receive(desk, make_cxr(PatientAge="064Y"), "ANY")

    line = read_lines(desk, {Choice(desk.settings.model.name): FakeModel()})[""]

    assert (line.model, line.deliveries) == ("made-up 1", {"far": "2 due", "near": "2 due"})
    desk.ledger.close()


def test_a_model_that_is_not_to_be_had_puts_back_its_own_studies_alone(desk: Desk) -> None:
    """Red when its error ends the task: the others would stay leased until the lease runs out, one attempt the less."""
    for _ in range(2):
        receive(desk, make_cxr(PatientAge="064Y"), "WARD9")
        receive(desk, make_cxr())

    def model_for(choice: Choice) -> FakeModel:
        if choice == GROWN:
            raise ModelMismatch("no model is called 'grown'; wanted one of: kids")
        return models()[choice]

    read_all(desk, model_for)

    lines = sorted((line.state, line.last_error, line.deliveries.get("near", "")) for line in round_lines(desk.ledger))
    assert lines == [
        ("analysed", "", "2 due"),
        ("analysed", "", "2 due"),
        ("ready", "ModelMismatch", ""),
        ("ready", "ModelMismatch", ""),
    ]
