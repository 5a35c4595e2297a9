"""What is counted, and under which labels: few of them, and none out of a data set."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cxrnode.headers.eligible import choose
from cxrnode.ledger import work
from cxrnode.ledger.work import in_vain
from cxrnode.metrics import counts, zeros
from cxrnode.settings import Receiving, Rules
from cxrnode.settings.destination import Destination
from tests.builders import make_cxr
from tests.desks import open_desk, owing, read_all, receive, turn
from tests.fakes import FakePacs
from tests.figures import counted
from workers.delivery import deliver_leased
from workers.desk import Desk


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"Modality": "MR"}, "Modality"),
        ({"ViewPosition": "LL"}, "ViewPosition"),
        ({"PatientID": ""}, "PatientID"),
        ({"BodyPartExamined": "ZZSYNTHETIC"}, "BodyPartExamined"),
    ],
)
def test_a_reason_is_counted_by_the_attribute_that_it_names_and_not_by_its_value(
    attributes: dict[str, str], kind: str
) -> None:
    (verdict,) = choose([make_cxr(**attributes)], Rules(), None)

    assert counts.kind_of(verdict.reason) == kind


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("", ""),
        ("The pixels look like a foot (gate 1.00); wanted an upright chest film", "pixels"),
        (in_vain(3, "ZeroDivisionError"), "attempts"),
        ("ZZDOE (0010,0010) is no keyword of DICOM", "other"),
        ("Anything else, ZZDOE among it", "other"),
    ],
)
def test_any_other_reason_is_one_of_few(reason: str, kind: str) -> None:
    assert counts.kind_of(reason) == kind


def test_callers_beyond_the_first_so_many_share_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when every AE title is its own label: whoever may call could fill Prometheus."""
    monkeypatch.setattr(counts, "_callers", set())

    names = [counts.caller(f"AE{number}") for number in range(counts.MOST_CALLERS + 5)]

    assert len(set(names)) == counts.MOST_CALLERS + 1
    assert counts.caller("AE0") == "AE0"
    assert counts.caller("NEW") == counts.OTHERS


def test_a_stranger_is_counted_without_its_name() -> None:
    before = counted("associations_refused_total", calling_ae=counts.STRANGER, reason="called AE title")

    counts.refused("", "called AE title")

    assert counted("associations_refused_total", calling_ae=counts.STRANGER, reason="called AE title") == before + 1


def test_what_the_settings_name_begins_at_zero() -> None:
    """Red without `zeros`: a rate misses the first refusal of each kind."""
    receiving = Receiving.model_validate({"senders": [{"ae_title": "DXROOM7", "addresses": ["10.0.0.7"]}]})

    zeros.of_receiver(receiving)
    zeros.of_delivery(["pacs7"])
    zeros.of_analysis(["model7 1"])

    value = counts.REGISTRY.get_sample_value
    assert value("cxrnode_instances_total", {"calling_ae": "DXROOM7", "status": "A700"}) == 0
    assert value("cxrnode_associations_refused_total", {"calling_ae": "DXROOM7", "reason": "called AE title"}) == 0
    assert value("cxrnode_deliveries_total", {"destination": "pacs7", "end": "given up"}) == 0
    assert value("cxrnode_studies_analysed_total", {"model": "model7 1", "outcome": "failed"}) == 0


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path, [Destination(name="gone", ae_title="P", host="127.0.0.1", port=1)])
    yield opened
    opened.ledger.close()


def test_an_analysis_is_counted_with_its_images_probabilities_and_stages(desk: Desk) -> None:
    receive(desk, make_cxr())
    receive(desk, make_cxr(Modality="MR"))
    model = {"model": "made-up 1"}
    names = ("positive", "not_applicable")
    before = {name: counted("studies_analysed_total", outcome=name, **model) for name in names}
    read, waited = counted("probability_count", **model), counted("analysed_seconds_count", lane="live")
    stages = counted("analysis_stage_seconds_count", stage="read")

    read_all(desk)

    assert {name: counted("studies_analysed_total", outcome=name, **model) - before[name] for name in names} == {
        "positive": 1,
        "not_applicable": 1,
    }
    assert counted("images_total", outcome="not_applicable", reason="Modality", **model) >= 1
    assert counted("probability_count", **model) == read + 1
    assert counted("analysed_seconds_count", lane="live") == waited + 2
    assert counted("analysis_stage_seconds_count", stage="read") > stages


def test_a_delivery_in_vain_one_given_up_and_one_that_ends_are_told_apart(tmp_path: Path) -> None:
    with FakePacs().listening() as pacs:
        there = pacs.destination(name="there", commitment="off")
        gone = Destination(name="nobody", ae_title="P", host="127.0.0.1", port=1, commitment="off", timeout_s=1)
        for folder, give_up_after_h in (("first", 72.0), ("second", 1e-6)):
            (tmp_path / folder).mkdir()
            desk = owing(tmp_path / folder, 1, there, gone, give_up_after_h=give_up_after_h)
            turn(desk)
            desk.ledger.close()

    ends = ("done", "later", "given up")
    assert {end: counted("deliveries_total", destination="there", end=end) for end in ends} == {
        "done": 2,
        "later": 0,
        "given up": 0,
    }
    assert counted("deliveries_total", destination="nobody", end="later") == 1
    assert counted("deliveries_total", destination="nobody", end="given up") == 1
    assert counted("objects_sent_total", destination="there", fate="accepted") == 2
    assert counted("delivered_seconds_count", destination="there") == 2


def test_a_delivery_whose_lease_somebody_else_has_is_a_lease_lost(tmp_path: Path) -> None:
    with FakePacs().listening() as pacs:
        desk, before = (
            owing(tmp_path, 1, pacs.destination(commitment="off")),
            counted("leases_lost_total", work="deliver"),
        )
        (task,) = work.due(desk.ledger, datetime.now(UTC), {})
        (late,) = work.lease(desk.ledger, task.task_key, datetime.now(UTC), 1)
        work.lease(desk.ledger, task.task_key, datetime.now(UTC) + timedelta(seconds=2), 600)
        deliver_leased(desk, late)
        desk.ledger.close()

    assert counted("leases_lost_total", work="deliver") == before + 1


def test_the_memory_of_a_gpu_is_told_once_this_process_uses_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from workers.gpu import tell_memory

    tell_memory()
    assert counted("gpu_memory_size_bytes") == 0
    for name, value in {"is_available": True, "is_initialized": True, "mem_get_info": (3, 8)}.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: 2)

    tell_memory()

    assert [counted(f"gpu_memory_{what}_bytes") for what in ("size", "free", "held")] == [8, 3, 2]
