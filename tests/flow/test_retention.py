"""Retention through a real node: what it has done with is removed and accounted for, and what comes again is known."""

import json
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from tests.builders import make_cxr, remade
from tests.fakes import FakePacs
from tests.nodes import running_node, saved


def test_a_delivered_study_goes_a_refused_one_stays_and_a_copy_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, refused = make_cxr(), make_cxr()
    with (
        FakePacs(statuses=[0x0000, 0x0000, 0xA900]).listening() as pacs,
        running_node(tmp_path, pacs.destination()) as node,
    ):
        spool = node.settings.node.spool_dir
        node.push(saved(film, tmp_path / "film.dcm"))
        node.wait_until_finished(1)
        node.push(saved(refused, tmp_path / "refused.dcm"))
        node.wait_until_finished(2)
        monkeypatch.setenv("CXRNODE_RETENTION__KEEP_DAYS", "1e-6")  # for the commands; the node itself keeps for ever
        (listed,) = json.loads(node.cxrnode("purge", "--dry-run", "--json").stdout)["studies"]
        before = len(list(spool.rglob("*.dcm")))
        assert node.cxrnode("purge").returncode == 0
        after = len(list(spool.rglob("*.dcm")))
        purged = node.status()

        node.push(tmp_path / "film.dcm")
        late = remade(film, SOPInstanceUID=generate_uid())
        node.push(saved(late, tmp_path / "late.dcm"))
        status = node.wait_until_finished(3)

    assert (listed["instances"], before, after) == (1, 6, 3)
    places = {line["place"]: line["instances"] for line in purged["instances"]}
    assert places == {"purged after 1e-06 days": 1, "finished, not all delivered": 1}
    assert (purged["balanced"], purged["received"], status["balanced"], status["received"]) == (True, 2, True, 3)
    assert [line["instances"] for line in status["rounds"] if line["round_number"] == 2] == [1]
    assert "duplicate acknowledged" in node.log.read_text()
