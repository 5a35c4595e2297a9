"""`cxrnode replay` against real archives: killed in the middle it goes on, and nothing is fetched or sent twice."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid

from cxrnode.commands.samples import free_ports
from cxrnode.deliver import send
from cxrnode.ledger import Ledger, planned, replays
from cxrnode.ledger.replaytables import Step
from cxrnode.plans import verdicts
from cxrnode.plans.plan import Verdict, entries_of
from cxrnode.settings.archive import Archive
from cxrnode.settings.destination import Destination
from tests.dcmqrscp import running_dcmqrscp
from tests.nodes import PATIENCE_S, RunningNode, running_node, saved
from tests.orthanc import Orthanc, running_orthanc
from tests.replaying import film
from tests.zoo import untrained, write_folder

STUDIES = int(os.environ.get("REPLAY_STUDIES", "60"))
"""`make soak` has three hundred of them"""
FEW = 24
PATIENCE = 600.0


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small models, so that what takes time here is what a replay does."""
    folder = tmp_path_factory.mktemp("zoo")
    for number, name in enumerate(("toy", "other")):
        write_folder(folder / name, untrained(seed=number), name=name)
    return folder


@contextmanager
def node_at(
    folder: Path, zoo: Path, *destinations: Destination, archives: Sequence[Archive] = (), port: int = 0
) -> Iterator[RunningNode]:
    """A node whose models are the small ones, and that knows these archives."""
    settings: dict[str, dict[str, object]] = {"model": {"name": "toy", "lungs": "", "zoo_dir": str(zoo)}}
    settings["results"] = {"overlay_longest_side": 256}
    if port:
        settings["receiving"] = {"port": port}
    with running_node(folder, *destinations, archives=archives, **settings) as node:
        yield node


def films(folder: Path, studies: int) -> list[Path]:
    """So many studies of one film each."""
    folder.mkdir()
    return [saved(film(PatientID=generate_uid()), folder / f"{number}.dcm") for number in range(studies)]


def replay(node: RunningNode, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = node.cxrnode("replay", *arguments, patience_s=PATIENCE)
    assert done.returncode == 0, (done.stdout, done.stderr, node.log.read_text()[-3000:])
    return done


def replay_killed(node: RunningNode, when_done: int, *arguments: str, by: signal.Signals = signal.SIGKILL) -> int:
    """Begin it, and kill -9 it (or stop it) when so many studies have their verdict; its exit status."""
    ours = [sys.executable, "-m", "cxrnode.cli", "--config", str(node.config), "replay", *arguments]
    process = subprocess.Popen(ours, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + PATIENCE_S
    ledger = Ledger(node.settings.ledger_url)  # the command would take so long that a small replay is over by then
    while sum(planned.steps(ledger, one.key)[Step.DONE] for one in replays.listed(ledger)) < when_done:
        assert process.poll() is None
        assert time.monotonic() < give_up, node.log.read_text()[-3000:]
        time.sleep(0.1)
    os.kill(process.pid, by)
    ledger.close()
    return process.wait()


def listed(node: RunningNode) -> list[dict[str, Any]]:
    """What `cxrnode replays --json` says."""
    found: list[dict[str, Any]] = json.loads(node.cxrnode("replays", "--json").stdout)
    return found


def verdicts_of(path: Path, studies: int) -> list[verdicts.Row]:
    """The verdict file; each study of the plan has one."""
    rows = list(verdicts.read(path))
    assert [row.number for row in rows] == list(range(1, studies + 1))
    return rows


def reports(orthanc: Orthanc) -> dict[str, int]:
    """How many reports it has of each study."""
    found: dict[str, int] = {}
    for name in orthanc.get("/instances"):
        told = orthanc.get(f"/instances/{name}/simplified-tags")
        if told["Modality"] == "SR":
            found[told["StudyInstanceUID"]] = found.get(told["StudyInstanceUID"], 0) + 1
    return found


@pytest.mark.timeout(900)
def test_studies_of_orthanc_killed_in_the_middle(tmp_path: Path, zoo: Path) -> None:
    """Plan, dry run, run, kill -9, resume; then a second run, and one that reads again with another model.

    Red without `claim_again` (the studies in hand are lost), without `_read_before` (all are fetched again), and
    without the card in `_same_before` (the other model's results are not sent).
    """
    (port,) = free_ports(1)
    verdict_file, plan_file = tmp_path / "verdicts.csv", tmp_path / "plan.jsonl"
    with running_orthanc(tmp_path, port) as orthanc:
        send(films(tmp_path / "films", STUDIES), orthanc.destination, "CXRNODE", lambda *_: None)
        archive = orthanc.archive("move")
        with node_at(tmp_path, zoo, orthanc.destination, archives=[archive], port=port) as node:
            chosen = ("--archive", "orthanc", "--from", "2026-01-01", "--to", "2026-01-31", "--modality", "DX")
            told = json.loads(replay(node, *chosen, "--dry-run", "--save-plan", str(plan_file), "--json").stdout)
            assert (told["plan"]["studies"], told["plan"]["to_read"]) == (STUDIES, STUDIES)
            assert len(list(entries_of(plan_file))) == STUDIES
            assert orthanc.moved == {}

            pace = ("--at-most", "48", "--fetches", "4")
            run = ("--plan", str(plan_file), "--verdicts", str(verdict_file), *pace)
            replay_killed(node, STUDIES // 3, *run)
            replay(node, *run)
            rows = verdicts_of(verdict_file, STUDIES)
            assert {row.verdict for row in rows} == {Verdict.ANALYSED}
            assert {row.delivered for row in rows} <= {"sent", "committed"}
            assert len(orthanc.moved) == STUDIES
            assert orthanc.moved.total() <= STUDIES + 4  # so many were being fetched when it was killed
            assert reports(orthanc) == {row.study_instance_uid: 1 for row in rows}
            assert orthanc.sent_again == 0

            moved = orthanc.moved.total()
            replay(node, *chosen, "--verdicts", str(verdict_file))
            again = verdicts_of(verdict_file, STUDIES)
            assert [(row.verdict, row.probability) for row in again] == [(row.verdict, row.probability) for row in rows]
            assert (orthanc.moved.total(), len(reports(orthanc)), orthanc.sent_again) == (moved, STUDIES, 0)

            few = tmp_path / "few.csv"
            few.write_text("study\n" + "".join(f"{row.study_instance_uid}\n" for row in rows[:FEW]))
            other = ("--from-spool", "--list", str(few), "--model", "other", "--verdicts", str(verdict_file))
            replay(node, *other)
            assert {row.model for row in verdicts_of(verdict_file, FEW)} == {"other 1"}
            assert sorted(reports(orthanc).values()) == [1] * (STUDIES - FEW) + [2] * FEW
            assert superseded(orthanc) == FEW
            assert orthanc.moved.total() == moved
            compared = node.cxrnode("compare", "toy", "other", "--out", str(tmp_path / "pages"), "--json")
            assert compared.returncode == 0, compared.stderr
            assert node.status()["balanced"]


def superseded(orthanc: Orthanc) -> int:
    """How many reports name one that it has as their predecessor."""
    filed = [pydicom.dcmread(io.BytesIO(one), stop_before_pixels=True) for one in orthanc.files()]
    known = {one.SOPInstanceUID for one in filed if one.Modality == "SR"}
    named = [
        item.ReferencedSOPInstanceUID
        for one in filed
        for study in one.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert set(named) <= known
    return len(named)


def test_studies_of_dcmqrscp_killed_in_the_middle(tmp_path: Path, zoo: Path) -> None:
    """By C-MOVE, from a PACS that tells no counts and takes no results; these go to an Orthanc."""
    (port,) = free_ports(1)
    verdict_file = tmp_path / "verdicts.csv"
    with (
        running_orthanc(tmp_path, port) as orthanc,
        running_dcmqrscp(tmp_path / "qr", films(tmp_path / "films", FEW), port) as peer,
        node_at(tmp_path, zoo, orthanc.destination, archives=[peer.archive("move")], port=port) as node,
    ):
        run = ("--archive", "dcmqrscp", "--from", "2026-01-01", "--to", "2026-01-31", "--verdicts", str(verdict_file))
        replay_killed(node, FEW // 3, *run)
        replay(node, *run)
        rows = verdicts_of(verdict_file, FEW)
        assert {row.verdict for row in rows} == {Verdict.ANALYSED}
        assert peer.log.count("C-MOVE") >= FEW
        assert reports(orthanc) == {row.study_instance_uid: 1 for row in rows}
        assert orthanc.sent_again == 0


def test_studies_of_a_folder_killed_in_the_middle(tmp_path: Path, zoo: Path) -> None:
    """With a file that is no DICOM and one that is cut: the counts sum to the plan, and nothing is sent twice."""
    verdict_file, folder = tmp_path / "verdicts.csv", tmp_path / "films"
    known = films(folder, FEW)
    (folder / "cut.dcm").write_bytes(known[0].read_bytes()[:400])
    (folder / "notes.txt").write_text("bring the cable")
    with running_orthanc(tmp_path) as orthanc, node_at(tmp_path, zoo, orthanc.destination) as node:
        run = (str(folder), "--verdicts", str(verdict_file))
        assert replay_killed(node, FEW // 4, *run, by=signal.SIGTERM) == 1
        (stopped,) = listed(node)
        assert (stopped["state"], "fetching" in stopped["steps"]) == ("under way", False)
        replay_killed(node, FEW // 2, *run)
        done = replay(node, *run)
        rows = verdicts_of(verdict_file, FEW + 1)
        assert sorted(row.verdict for row in rows) == [Verdict.ANALYSED] * FEW + [Verdict.FAILED]
        assert "cut.dcm" in rows[-1].reason
        assert reports(orthanc) == {row.study_instance_uid: 1 for row in rows[:-1]}
        assert orthanc.sent_again == 0
        assert "going on" in done.stderr
