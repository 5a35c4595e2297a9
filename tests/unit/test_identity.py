"""One UID never stands for two contents: what decides a content decides its UIDs, and bytes are made once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset

from cxrnode.analyse import analyse
from cxrnode.commands.offline import group
from cxrnode.complete import sweep
from cxrnode.family import Family
from cxrnode.ledger import arrivals, work
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import Work
from cxrnode.receipt import Receipt
from cxrnode.settings import Settings
from cxrnode.study import Study
from tests.builders import make_cxr
from tests.databases import ledger_url
from tests.fakes import ALGORITHM, FakeModel, FakePacs
from tests.nodes import saved
from workers.analysis import analyse_leased
from workers.delivery import deliver_leased
from workers.desk import Desk

NOW = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
OPEN = Settings(rules={"gate": "off"})


@pytest.fixture
def study(tmp_path: Path) -> Study:
    (found,) = group([saved(make_cxr(), tmp_path / "film.dcm")])
    return found


def contents(study: Study, model: FakeModel | None = None, settings: Settings = OPEN) -> list[bytes]:
    (analysis,) = analyse([study], model or FakeModel(), settings, NOW)
    assert {item.family for item in analysis.objects} == set(Family)
    return [item.content for item in analysis.objects]


def own_uids(content: bytes) -> set[str]:
    """Every UID in the object that this node has made for this round."""

    def elements(dataset: Dataset) -> Iterator[tuple[str, str]]:
        for element in dataset:
            if element.VR == "SQ":
                for item in element.value:
                    yield from elements(item)
            elif element.VR == "UI":
                yield element.keyword, str(element.value)

    kept = {"DeviceUID", "StudyInstanceUID"}
    return {
        uid
        for keyword, uid in elements(pydicom.dcmread(BytesIO(content)))
        if uid.startswith("2.25.") and keyword not in kept and uid != ALGORITHM.device_uid
    }


def test_the_same_study_read_again_at_the_same_moment_gives_the_same_bytes(study: Study) -> None:
    assert contents(study) == contents(study)


CHANGES = {
    "model": lambda: {"model": FakeModel(algorithm=replace(ALGORITHM, name="other", digest="ef" * 32))},
    "threshold": lambda: {"model": FakeModel(algorithm=replace(ALGORITHM, operating_point=0.4, digest="ef" * 32))},
    "overlay size": lambda: {"settings": Settings(rules={"gate": "off"}, results={"overlay_longest_side": 700})},
    "rules": lambda: {"settings": Settings(rules={"gate": "off", "outside_population": "refuse"})},
    "node": lambda: {"settings": Settings(rules={"gate": "off"}, node={"name": "another"})},
}


@pytest.mark.parametrize("changed", [*CHANGES, "software", "moment", "round"])
def test_a_change_of_what_decides_the_content_changes_every_uid(
    study: Study, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = set().union(*map(own_uids, contents(study)))
    others: dict[str, object] = {}
    if changed == "software":
        monkeypatch.setattr("cxrnode.analyse.__version__", "99.0.0")
    elif changed == "moment":
        monkeypatch.setattr("tests.unit.test_identity.NOW", NOW + timedelta(seconds=1))
    elif changed == "round":
        study = replace(study, round_number=2)
    else:
        others = CHANGES[changed]()

    second = set().union(*map(own_uids, contents(study, **others)))

    assert len(first) >= 2 * len(Family)
    assert first & second == set()


def test_another_card_is_another_device_in_every_object(study: Study) -> None:
    other = replace(ALGORITHM, digest="ef" * 32, device_uid="2.25.987")

    for content in contents(study, FakeModel(algorithm=other)):
        dataset = pydicom.dcmread(BytesIO(content))
        assert dataset.DeviceUID == "2.25.987"
        assert dataset.ContributingEquipmentSequence[0].DeviceUID == "2.25.987"


def test_a_resend_sends_the_very_bytes_made_before(tmp_path: Path) -> None:
    with FakePacs(statuses=[0x0000, 0xA700, 0x0110]).listening() as pacs:
        everything = {"positive": list(Family)}
        settings = Settings(
            node={"state_dir": tmp_path},
            ledger={"url": ledger_url(tmp_path)},
            receiving={"reserve_gb": 0},
            rules={"gate": "off"},
            destinations=[pacs.destination(send=everything)],
        )
        desk = Desk(settings)
        receive(desk)
        now = NOW + timedelta(hours=1)
        arrivals.close_settled(desk.ledger, 20.0, now)
        turn(desk, Work.ANALYSE, now)
        made = {path.stem: path.read_bytes() for path in (tmp_path / "spool" / "results").rglob("*.dcm")}

        turn(desk, Work.DELIVER, datetime.now(UTC))
        turn(desk, Work.DELIVER, datetime.now(UTC) + timedelta(hours=1))

    (line,) = round_lines(desk.ledger)
    desk.ledger.close()
    assert line.deliveries == {"fake": f"{len(Family)} accepted"}
    assert len(pacs.attempts) == len(Family) + 2
    for uid, content in pacs.attempts:
        assert any(whole.endswith(content) for whole in made.values()), uid
    assert len(dict(pacs.attempts)) == len(set(pacs.attempts)) == len(Family)


def receive(desk: Desk) -> None:
    film = make_cxr()
    path = saved(film, desk.settings.node.state_dir / "film.dcm")
    uids = (film.SOPInstanceUID, film.SOPClassUID, film.StudyInstanceUID, "1.2.840.10008.1.2.1")
    key = desk.spool.key_for(film.SOPInstanceUID)
    receipt = Receipt(key, *uids, "0" * 64, path.stat().st_size, "CT", "CXRNODE", "::1", "1", NOW.isoformat())
    desk.spool.store(path.read_bytes(), receipt)
    assert sweep(desk.spool, desk.ledger) == 1


def turn(desk: Desk, kind: Work, now: datetime) -> None:
    """Do the one task of this kind that is due."""
    (task,) = [due for due in work.due(desk.ledger, now, {}) if due.work is kind]
    held = work.lease(desk.ledger, task.task_key, now, 60.0)
    if kind is Work.ANALYSE:
        analyse_leased(desk, held, lambda _choice: FakeModel())
    else:
        deliver_leased(desk, held[0])
