"""The next studies are decoded while the model reads: results and faults are those of each study alone."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pytest

from cxrnode.ahead import ahead
from cxrnode.analyse import Analysis, analyse, analysed
from cxrnode.decoding import image
from cxrnode.family import MADE_OF, Family
from cxrnode.finding import Finding, Outcome
from cxrnode.headers.routing import Choice
from cxrnode.ledger.roundlines import round_lines
from cxrnode.radiograph import Film
from cxrnode.settings import Settings
from cxrnode.settings.destination import Destination
from cxrnode.stopwatch import STAGES
from cxrnode.study import Instance, Study
from tests.builders import chest_like, make_cxr
from tests.desks import open_desk, read_all, receive
from tests.fakes import FakeModel
from tests.nodes import saved
from workers.desk import Desk

NOW = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
EVERYTHING = Destination(
    name="pacs",
    ae_title="P",
    host="127.0.0.1",
    port=1,
    send={"positive": tuple(Family), "negative": MADE_OF[Outcome.NEGATIVE]},
)
SETTINGS = Settings(destinations=[EVERYTHING])


@dataclass
class Discerning(FakeModel):
    """Says of each radiograph what its own greys say, and notes which thread asked."""

    threads: set[int] = field(default_factory=set)

    def read(self, radiographs: Sequence[Film]) -> list[Finding]:
        """Positive or not by the mean grey."""
        self.threads.add(threading.get_ident())
        told = super().read(radiographs)
        means = [float(image.Radiograph.of(film).greys.mean()) for film in radiographs]
        return [replace(one, probability=mean) for one, mean in zip(told, means, strict=True)]


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Study]:
    """Seven studies of one film, no two alike."""
    folder, made = tmp_path_factory.mktemp("studies"), []
    for number in range(7):
        film = make_cxr(
            chest_like(200 + number, 180, seed=number), SOPInstanceUID=f"1.2.{number}", StudyInstanceUID=f"1.3.{number}"
        )
        path = saved(film, folder / f"{number}.dcm")
        made.append(
            Study(f"{number}", film.StudyInstanceUID, 1, (Instance("k", path, film.SOPInstanceUID, f"{number:064}"),))
        )
    return made


def timeless(analysis: Analysis | Exception) -> tuple[object, ...]:
    assert isinstance(analysis, Analysis)
    return (
        analysis.outcome,
        [reading.finding and reading.finding.probability for reading in analysis.readings],
        analysis.objects,
    )


@pytest.mark.parametrize("together", [1, 3, 7])
def test_studies_that_overlap_have_the_results_of_each_alone(studies: list[Study], together: int) -> None:
    """Red when the order is lost between thread and model."""
    alone = [timeless(one) for study in studies for one in analyse([study], Discerning(), SETTINGS, NOW)]
    model = Discerning()

    found = list(analysed(studies, model, SETTINGS, NOW, together))

    assert [timeless(one) for one in chain.from_iterable(found)] == alone
    assert [len(some) for some in found] == model.batches
    assert max(model.batches) == together
    assert model.threads == {threading.get_ident()}, "the model has one owner"


def test_a_fault_of_one_study_is_told_in_its_place_and_touches_no_other(
    studies: list[Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when the thread's error ends the whole."""
    fail(monkeypatch, place=2)

    found = list(chain.from_iterable(analysed(studies, FakeModel(), SETTINGS, NOW, 3)))

    assert [type(one) for one in found] == [Analysis, Analysis, MemoryError, *[Analysis] * 4]


def test_a_worker_puts_back_the_one_that_failed_and_finishes_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk(tmp_path, [EVERYTHING])
    for _ in range(4):
        receive(desk, make_cxr())
    fail(monkeypatch, place=1)

    read_all(desk, {Choice(desk.settings.model.name): FakeModel()})

    assert sorted((line.state, line.last_error) for line in round_lines(desk.ledger)) == [
        *[("analysed", "")] * 3,
        ("ready", "MemoryError"),
    ]
    assert stages_of(desk) == set(STAGES) - {"gate", "lungs"}
    desk.ledger.close()


def fail(monkeypatch: pytest.MonkeyPatch, *, place: int) -> None:
    """Have the image at this place, from nought, run out of memory as it is read."""
    read, calls = image.read_at_least, iter(range(100))

    def fails(*given: object) -> object:
        if next(calls) == place:
            raise MemoryError
        return read(*given)

    monkeypatch.setattr(image, "read_at_least", fails)


def stages_of(desk: Desk) -> set[str]:
    return {stage for line in round_lines(desk.ledger) for stage in line.stages_ms}


def test_no_more_is_made_ahead_than_was_asked_for() -> None:
    """Red when every call is handed to the thread at once."""
    made: list[int] = []
    most = 0
    calls = [lambda number=number: made.append(number) or number for number in range(20)]
    for number, one in enumerate(ahead(calls, 2)):
        assert one == number
        most = max(most, len(made) - number - 1)
    assert most <= 2
    assert made == list(range(20))
