"""A study's day as the audit trail tells it, at a collector over TLS too; and its patient is named nowhere else."""

import json
import re
from pathlib import Path

import pytest
from pydicom import Dataset

from cxrnode.deliver import echo
from cxrnode.errors import PeerUnavailable
from tests.audits import PATIENT, STUDY, Told, checked, told
from tests.authority import Authority
from tests.builders import make_cxr
from tests.collectors import Collector
from tests.fakes import FakePacs
from tests.nodes import RunningNode, running_node, saved

BOM = b"\xef\xbb\xbf"
HOLD_PATIENTS = ("spool", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "audit")
"""what of a node's folder may name a patient"""
REFUSED = 9
"""more than there are processes, so that one of them has some to tell when it ends"""


def secrets_of(film: Dataset) -> list[bytes]:
    """What tells whose a film is."""
    values = (film.PatientName, film.PatientID, film.PatientBirthDate, film.AccessionNumber)
    uids = (film.StudyInstanceUID, film.SeriesInstanceUID, film.SOPInstanceUID)
    return [str(value).encode() for value in (*values, *uids)]


def about(messages: list[Told], film: Dataset) -> list[str]:
    """The events about a study, in order."""
    return [one.event for one in messages if one.subject(STUDY) == film.StudyInstanceUID]


def test_a_day_is_told_from_the_first_process_to_the_last_and_nobody_else_knows_the_patient(tmp_path: Path) -> None:
    """Red when any room writes a name into the log, the forwarder forgets a message, or `_accept` ends no alerts."""
    hospital = Authority(tmp_path / "ca")
    film = make_cxr(
        PatientName="Zzsynthetic^Audit",
        PatientID="ZZ-AUDIT-1",
        PatientBirthDate="20220103",
        AccessionNumber="ACC-88001",
    )
    with Collector(hospital.signed("localhost")) as collector, FakePacs().listening() as pacs:
        audit = {"syslog": "tls", "host": "localhost", "port": collector.port, "ca_file": str(hospital.file)}
        with running_node(tmp_path, pacs.destination(commitment="off"), audit=audit) as node:
            node.push(saved(film, tmp_path / "film.dcm"))
            node.wait_until_finished(1)
            trail = node.settings.node.state_dir / "audit"
            node.wait_until(lambda _: len(about(told(trail), film)) == 3)
            node.wait_until(lambda _: len(collector.taken) >= len(told(trail)))
            for _ in range(REFUSED):
                with pytest.raises(PeerUnavailable):
                    echo(node.receiver.model_copy(update={"ae_title": "SOMEBODY"}), "STRANGER")
            key = node.status()["rounds"][0]["study"]
            commands = [node.cxrnode("trace", key), node.cxrnode("status", "--json")]
        commands += [node.cxrnode("purge", key), node.cxrnode("status", "--json")]
        seen = node.cxrnode("audit", "--study", film.StudyInstanceUID, "--json")

    messages = told(trail)
    starts = [one for one in messages if one.event == "Application Activity, Application Start"]
    stops = [one for one in messages if one.event == "Application Activity, Application Stop"]
    assert len(starts) == len(stops) == 3
    assert sorted(about(messages, film)) == [
        "Begin Transferring DICOM Instances",
        "DICOM Instances Accessed",
        "DICOM Instances Transferred",
        "DICOM Instances Transferred",
        "DICOM Study Deleted",
    ]
    assert sum(map(refusals, messages)) == REFUSED
    assert {one.subject(PATIENT) for one in messages if one.subject(STUDY)} == {film.PatientID}
    taken = [one.partition(BOM)[2] for one in collector.taken]
    lines = [line for file in sorted(trail.glob("*.xml")) for line in file.read_bytes().splitlines()]
    assert taken == lines[: len(taken)]
    assert {"Begin Transferring DICOM Instances"} <= {checked(line).event for line in taken}
    assert [one.returncode for one in commands] == [0] * len(commands), [one.stderr for one in commands]
    assert [one["event"] for one in json.loads(seen.stdout)] == about(messages, film)
    assert json.loads(commands[-1].stdout)["received"] == 0
    assert_nowhere_else(node, film, *(one.stdout + one.stderr for one in commands))


def refusals(message: Told) -> int:
    """Of how many a message tells: of each kind the first alone, and the number of those that followed."""
    if not message.event.startswith("Security Alert"):
        return 0
    more = re.search(r"; (\d+) more of these", message.reason)
    return int(more[1]) if more else 1


def assert_nowhere_else(node: RunningNode, film: Dataset, *told: str) -> None:
    """Nothing of the patient outside the rooms that are for it: not in the log, a name, another file or a command."""
    state = node.settings.node.state_dir
    files = [path for path in state.rglob("*") if path.is_file()]
    others = [path for path in files if path.relative_to(state).parts[0] not in HOLD_PATIENTS]
    names = " ".join(map(str, state.rglob("*")))
    texts = [node.log.read_bytes(), names.encode(), *(one.encode() for one in told)]
    texts += [path.read_bytes() for path in others]
    for secret in secrets_of(film):
        assert [text for text in texts if secret in text] == []
    assert b"stored" in texts[0], "the log was really read"
    assert {
        path.name: oct(path.stat().st_mode) for path in (state / "audit").iterdir() if path.stat().st_mode & 0o077
    } == {}
    assert (state / "audit").stat().st_mode & 0o777 == 0o700
