"""What a crash leaves: a killed worker, a flushed broker, a ledger away; nothing is lost, nothing done twice."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from cxrnode.faultpoints import Fault, Point
from tests.builders import make_cxr, remade
from tests.databases import LEDGER, SQLITE
from tests.fakes import FakePacs
from tests.flow.days import plant
from tests.invariants import unkept
from tests.nodes import RunningNode, running_node, saved

LEASE = {"time_limit_s": 29, "lease_s": 30}


def test_a_worker_killed_in_mid_study_and_a_flushed_broker_cost_only_the_lease(tmp_path: Path) -> None:
    film = make_cxr()
    copies = [remade(film, SOPInstanceUID=generate_uid(), InstanceNumber=number) for number in range(1, 41)]
    files = [saved(copy, tmp_path / f"{number}.dcm") for number, copy in enumerate(copies)]
    with FakePacs().listening() as pacs, running_node(tmp_path, pacs.destination(), queue=LEASE) as node:
        node.push(*files)
        node.wait_until(lambda s: any(line["place"] == "being analysed" for line in s["instances"]))
        _kill_the_analysts(node)
        node.redis_cli("FLUSHALL")
        status = node.wait_until_finished(1)

    assert status["balanced"]
    (line,) = status["rounds"]
    assert line["deliveries"] == {"fake": "41 accepted"}
    assert len(pacs.stored) == len({stored.SOPInstanceUID for stored in pacs.stored}) == 41


def test_a_study_that_hangs_every_time_is_stopped_given_up_and_takes_nobody_with_it(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """I5, seen red: complete.py, `give_up_exhausted` not called: the study is begun for ever."""
    record_property("matrix", ("mid analysis", "hangs every time: a poison study", "I1, I2, I5"))
    films = [saved(make_cxr(), tmp_path / f"{number}.dcm") for number in range(2)]
    short = {"time_limit_s": 6, "lease_s": 7, "max_attempts": 2}
    with (
        FakePacs().listening() as pacs,
        running_node(tmp_path, pacs.destination(), environment={"CXRNODE_FAULTS": str(tmp_path)}, queue=short) as node,
    ):
        struck = plant(tmp_path, Point.MID_ANALYSIS, Fault.HANG)
        node.push(films[0])
        node.wait_until(lambda _: struck())
        plant(tmp_path, Point.MID_ANALYSIS, Fault.HANG)
        status = node.wait_until_finished(1)
        (given_up,) = status["rounds"]
        assert given_up["outcome"] == "failed"
        assert "begun 2 times and stopped its worker" in given_up["reasons"][0]
        node.push(films[1])
        status = node.wait_until_finished(2)

    assert unkept(node.settings, films) == []
    assert status["rounds"][0]["deliveries"] == {"fake": "2 accepted"}
    assert len(pacs.stored) == 2


def test_a_broker_that_dies_refuses_no_image_and_the_study_is_finished(tmp_path: Path) -> None:
    with FakePacs().listening() as pacs, running_node(tmp_path, pacs.destination(), queue={"resubmit_s": 2}) as node:
        (broker,) = [pid for pid, command in node.children().items() if "broker.sock" in command]
        os.kill(broker, signal.SIGKILL)
        node.push(saved(make_cxr(), tmp_path / "film.dcm"))
        status = node.wait_until_finished(1)

    assert status["rounds"][0]["deliveries"] == {"fake": "2 accepted"}
    assert len(pacs.stored) == 2


def test_a_ledger_that_was_away_learns_of_every_image_from_the_disk(tmp_path: Path) -> None:
    if LEDGER != SQLITE:
        pytest.skip("puts a folder where SQLite's file should be; PostgreSQL away: test_postgresql.py")
    in_the_way = tmp_path / "state" / "ledger.sqlite"
    in_the_way.mkdir(parents=True)
    with FakePacs().listening() as pacs, running_node(tmp_path, pacs.destination()) as node:
        node.push(saved(make_cxr(), tmp_path / "film.dcm"))
        node.wait_until_logged("ledger away")
        in_the_way.rmdir()
        status = node.wait_until_finished(1)

    assert status["balanced"]
    assert status["rounds"][0]["deliveries"] == {"fake": "2 accepted"}


def _kill_the_analysts(node: RunningNode) -> None:
    for pid, command in node.children().items():
        if "--role analyse" in command:
            os.kill(pid, signal.SIGKILL)
