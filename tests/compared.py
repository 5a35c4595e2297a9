"""Studies that two made-up models have read, one after the other, as a ledger and a spool come to have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset
from sqlalchemy import select

from cxrnode.decoding.pixels import read_radiograph
from cxrnode.finding import Algorithm, Finding, Refusal
from cxrnode.headers.routing import Choice
from cxrnode.ledger import arrivals
from cxrnode.ledger.tables import studies
from cxrnode.radiograph import Film, Radiograph
from tests.builders import chest_like, make_cxr
from tests.desks import HOUR, T0, open_desk, read_all, receive
from tests.fakes import ALGORITHM, FakeModel
from workers.desk import Desk

LITE = replace(ALGORITHM, name="lite", version="1", digest="1a" * 32)
LARGE = replace(ALGORITHM, name="large", version="2.1", digest="2b" * 32, operating_point=0.4)


@dataclass
class Knowing(FakeModel):
    """Gives each film the probability that is known for its pixels, or refuses it where that is None."""

    answers: Mapping[float, float | None] = field(default_factory=dict)

    def read(self, radiographs: Sequence[Film]) -> list[Finding | Refusal]:  # type: ignore[override]
        """One finding or refusal a radiograph."""
        found: list[Finding | Refusal] = []
        for radiograph, (finding,) in ((one, super(Knowing, self).read([one])) for one in radiographs):
            probability = self.answers[mark(radiograph)]
            found.append(
                Refusal("The picture looks like no film.") if probability is None else with_(finding, probability)
            )
        return found


@dataclass
class Reading:
    """A desk in a folder, its films, and the time of day there."""

    folder: Path
    films: list[FileDataset] = field(default_factory=list)
    at: datetime = T0

    def __post_init__(self) -> None:
        self.desk: Desk = open_desk(self.folder, ())

    def receive(self, count: int, **attributes: object) -> None:
        """So many more films, each of a study of its own unless the attributes say which."""
        for number in range(len(self.films), len(self.films) + count):
            film = make_cxr(chest_like(seed=number), AccessionNumber=f"ACC-{number}", InstanceNumber=number)
            film.PatientName = f"Zzsecret^Patient{number}"
            for keyword, value in attributes.items():
                setattr(film, keyword, value)
            self.films.append(film)
            receive(self.desk, film, at=self.at)

    def read(self, algorithm: Algorithm, probabilities: Sequence[float | None]) -> None:
        """Every study is read (again), each film with the probability at its place."""
        self.at += HOUR
        with self.desk.ledger.writing() as db:
            for key in db.execute(select(studies.c.key)).scalars().all():
                arrivals.read_again(db, key, self.at)
        answers = {mark(read_radiograph(film)): one for film, one in zip(self.films, probabilities, strict=True)}
        choice = Choice(self.desk.settings.model.name)
        read_all(self.desk, {choice: Knowing(algorithm=algorithm, answers=answers)}, now=self.at)
        self.at += timedelta(minutes=1)


def mark(radiograph: Film) -> float:
    """A number that tells one film's pixels from another's."""
    return round(float(Radiograph.of(radiograph).greys.astype(np.float64).sum()), 3)


def with_(finding: Finding, probability: float) -> Finding:
    """The finding with another probability."""
    return Finding(finding.logit, probability, finding.heatmap)
