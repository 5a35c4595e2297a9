"""A STAT study overtakes, on a real node: it is read and sent before whatever waits, by whichever way it is STAT."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import select

from cxrnode.ledger import Ledger
from cxrnode.ledger.states import Lane
from cxrnode.ledger.tables import rounds
from tests.builders import chest_like, make_cxr
from tests.fakes import FakePacs
from tests.nodes import RunningNode, running_node, saved
from tests.zoo import untrained, write_folder

WAITING = 40
ROUTES: list[dict[str, object]] = [
    {"name": "toddlers", "age_years": [1, 5], "model": "toy", "stat": True},
    {"name": "rest", "model": "toy"},
]
SENDERS: list[dict[str, object]] = [{"ae_title": name, "addresses": ["127.0.0.1"]} for name in ("DXROOM1", "MODALITY")]
SENDERS.append({"ae_title": "EMERGENCY", "addresses": ["127.0.0.1"], "stat": True})
PIXELS = chest_like(512, 448)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folder = tmp_path_factory.mktemp("stat")
    write_folder(folder / "zoo" / "toy", untrained(), name="toy")
    settings: dict[str, dict[str, object]] = {
        "model": {"name": "toy", "lungs": "", "zoo_dir": str(folder / "zoo")},
        "receiving": {"senders": SENDERS},
    }
    with FakePacs().listening() as pacs, running_node(folder, pacs.destination(), routes=ROUTES, **settings) as node:
        yield node


def film(folder: Path, **attributes: object) -> Path:
    uids = {"SOPInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid(), "PatientAge": "064Y"}
    return saved(make_cxr(PIXELS, **(uids | attributes)), folder / f"{generate_uid()}.dcm")


@pytest.mark.parametrize(
    ("calling_ae", "attributes"),
    [("DXROOM1", {"RequestedProcedurePriority": "STAT"}), ("EMERGENCY", {}), ("DXROOM1", {"PatientAge": "003Y"})],
    ids=["image", "sender", "route"],
)
def test_a_stat_study_overtakes_those_that_wait(
    node: RunningNode, tmp_path: Path, calling_ae: str, attributes: dict[str, object]
) -> None:
    """Red where a worker keeps the eight studies that it has taken, and where a queue is asked in another order.

    What is in hand goes on: one study is being read, and one more may have been begun while the ledger was written.
    """
    before = len(node.status()["rounds"])
    waiting = [film(tmp_path) for _ in range(WAITING)]
    node.push(*waiting, calling_ae="DXROOM1")
    node.push(film(tmp_path, **attributes), calling_ae=calling_ae)
    node.wait_until_finished(before + WAITING + 1)

    ledger = Ledger(node.settings.ledger_url)
    with ledger.reading() as db:
        told = db.execute(select(rounds).order_by(rounds.c.last_received_at)).all()[before:]
    ledger.close()
    stat, live = told[-1], told[:-1]
    assert (stat.lane, {one.lane for one in live}) == (Lane.STAT, {Lane.LIVE})
    assert sum(stat.closed_at < one.analysed_at < stat.analysed_at for one in live) <= 2
    assert sum(stat.analysed_at < one.analysed_at for one in live) >= WAITING // 4, "there was nobody to overtake"
    earlier = [one for one in live if one.analysed_at < stat.analysed_at]
    assert sum(one.finished_at > stat.finished_at for one in live) >= WAITING - len(earlier) - 2
