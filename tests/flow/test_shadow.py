"""A running node with a shadow model: both read a live study, one is sent, and `cxrnode compare` has the two."""

import json
from pathlib import Path

from tests.builders import make_cxr
from tests.fakes import FakePacs
from tests.nodes import running_node, saved
from tests.zoo import untrained, write_folder


def test_a_live_study_is_read_by_both_and_sent_by_one(tmp_path: Path) -> None:
    for seed, name in enumerate(("grown", "shade")):
        write_folder(tmp_path / "zoo" / name, untrained(seed=seed), name=name)
    model: dict[str, object] = {"zoo_dir": str(tmp_path / "zoo"), "name": "grown", "shadow": "shade"}

    with FakePacs().listening() as pacs, running_node(tmp_path, pacs.destination(), model=model) as node:
        node.push(saved(make_cxr(), tmp_path / "film.dcm"))
        status = node.wait_until_finished(2)
        compared = node.cxrnode("compare", "grown", "shade", "--out", str(tmp_path / "out"), "--json")
        listed = json.loads(node.cxrnode("replays", "--json").stdout)

    rounds = {line["round_number"]: line for line in status["rounds"]}
    assert [(rounds[n]["model"].partition(" ")[0], rounds[n]["deliveries"]) for n in (1, 2)] == [
        ("grown", {"fake": "2 accepted"}),
        ("shade", {}),
    ]
    assert (rounds[2]["lane"], rounds[2]["closed"]) == ("replay", "shadow")
    assert {one.ManufacturerModelName for one in pacs.stored if one.Modality == "SR"} == {"grown"}
    assert len(pacs.stored) == 2
    assert json.loads(compared.stdout)["coverage"]["images_analysed_by_both"] == 1
    assert (tmp_path / "out" / "index.html").exists()
    assert listed == []
    assert [line["place"] for line in status["instances"]] == ["finished, delivered"]
