"""workers.analysis: a leased batch is read model by model, and each study's results go where its route says."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest

from cxrnode.complete import sweep
from cxrnode.ledger import arrivals, work
from cxrnode.ledger.account import RoundLine, round_lines
from cxrnode.routing import Choice
from cxrnode.settings import Settings
from cxrnode.spool import Receipt
from tests.builders import make_cxr
from tests.fakes import ALGORITHM, FakeModel
from tests.nodes import saved
from workers.analysis import analyse_leased
from workers.desk import Desk

T0 = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
KIDS, GROWN = Choice("kids"), Choice("grown", 0.05)
ROUTES = [
    {"name": "children", "age_years": [1, 5], "model": "kids", "destinations": ["near"]},
    {"name": "ward", "calling_ae": ["WARD9"], "model": "grown", "prevalence": 0.05, "destinations": ["far"]},
]


def settings_for(folder: Path, routes: list[dict[str, Any]]) -> Settings:
    pacs = [{"name": name, "ae_title": "P", "host": "127.0.0.1", "port": 1} for name in ("near", "far")]
    return Settings(node={"state_dir": folder}, receiving={"reserve_gb": 0}, destinations=pacs, routes=routes)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(settings_for(tmp_path, ROUTES))
    yield made
    made.ledger.close()


def receive(desk: Desk, calling_ae: str, *, ledger_away: bool = False, **attributes: object) -> None:
    """One film on the disk and, unless the ledger is away, in the ledger, as the receiver leaves it."""
    film = make_cxr(**attributes)
    path = saved(film, desk.settings.node.state_dir / "film.dcm")
    uids = (film.SOPInstanceUID, film.SOPClassUID, film.StudyInstanceUID, "1.2.840.10008.1.2.1")
    key = desk.spool.key_for(film.SOPInstanceUID)
    receipt = Receipt(key, *uids, "0" * 64, path.stat().st_size, calling_ae, "CXRNODE", "::1", "1", T0.isoformat())
    desk.spool.store(path.read_bytes(), receipt)
    if not ledger_away:
        arrivals.note(desk.ledger, [receipt])


def read_all(desk: Desk, models: dict[Choice, FakeModel]) -> dict[str, RoundLine]:
    """Lease all that is due in one batch, analyse it, and tell the rounds by their route."""
    now = T0 + timedelta(hours=1)
    arrivals.close_settled(desk.ledger, 20.0, now)
    first, *others = work.due(desk.ledger, now, {})
    held = work.lease(desk.ledger, first.task_key, now, 600, companions=len(others))
    analyse_leased(desk, held, models.__getitem__)
    return {line.route: line for line in round_lines(desk.ledger)}


def models() -> dict[Choice, FakeModel]:
    grown = replace(ALGORITHM, name="grown", prevalence=0.05, card_prevalence=0.74, digest="ef" * 32)
    return {KIDS: FakeModel(algorithm=replace(ALGORITHM, name="kids")), GROWN: FakeModel(algorithm=grown)}


def test_one_batch_is_read_model_by_model_and_each_result_goes_where_its_route_says(desk: Desk) -> None:
    receive(desk, "DXROOM1")
    receive(desk, "WARD9", PatientAge="064Y")
    receive(desk, "WARD9", PatientAge="005Y")
    receive(desk, "DXROOM1", PatientAge="064Y")
    known = models()

    lines = read_all(desk, known)

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
    receive(desk, "WARD9", PatientAge="064Y")

    read_all(desk, models())

    reports = [pydicom.dcmread(path) for path in desk.spool.root.glob("results/*/*/report-*.dcm")]
    assert [report.ManufacturerModelName for report in reports] == ["grown"]


def test_who_sent_an_image_survives_a_ledger_that_was_away(desk: Desk) -> None:
    receive(desk, "WARD9", ledger_away=True, PatientAge="064Y")
    assert sweep(desk.spool, desk.ledger) == 1

    assert set(read_all(desk, models())) == {"ward"}


def test_a_model_that_fails_puts_back_its_own_studies_alone(desk: Desk) -> None:
    receive(desk, "DXROOM1")
    receive(desk, "WARD9", PatientAge="064Y")
    known = models()
    known[GROWN].probabilities = [2.0]  # no probability at all: the finding raises ValueError

    lines = read_all(desk, known)

    assert lines["children"].outcome == "positive"
    assert [(line.state, line.last_error) for line in round_lines(desk.ledger) if line.state == "ready"] == [
        ("ready", "ValueError")
    ]


def test_a_foot_without_a_route_keeps_its_own_reason(desk: Desk) -> None:
    receive(desk, "DXROOM1", BodyPartExamined="FOOT", StudyDescription="Foot")

    line = read_all(desk, models())[""]

    assert line.reasons == ("BodyPartExamined (0018,0015) is FOOT; wanted CHEST, THORAX, LUNG",)


def test_without_routes_one_model_reads_all_for_every_destination(tmp_path: Path) -> None:
    desk = Desk(settings_for(tmp_path, []))
    receive(desk, "ANY", PatientAge="064Y")

    line = read_all(desk, {Choice(desk.settings.model.name): FakeModel()})[""]

    assert (line.model, line.deliveries) == ("made-up 1", {"far": "2 due", "near": "2 due"})
    desk.ledger.close()
