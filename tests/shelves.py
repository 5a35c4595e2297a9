"""What a PACS has, for fakes of it: studies that it finds as the standard says, or caps, repeats, or finds wrongly."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fnmatch import fnmatchcase

from pydicom import Dataset

from cxrnode.plans.plan import Entry
from cxrnode.settings.archive import Archive
from tests.fakes import FakePacs
from tests.sources import Answers, Source

FIRST = date(2026, 1, 1)


def studies(count: int, days: int = 1, **attributes: object) -> list[Dataset]:
    """So many studies, shared out over days from FIRST and over the hours of each."""
    made = []
    for number in range(count):
        minute = number * 1439 // max(count - 1, 1)
        study = Dataset()
        study.StudyInstanceUID = f"1.2.826.7.{number + 1}"
        study.AccessionNumber = f"ACC{number + 1}"
        study.StudyDate = f"{FIRST + timedelta(days=number % days):%Y%m%d}"
        study.StudyTime = f"{minute // 60:02}{minute % 60:02}00"
        study.ModalitiesInStudy = "DX"
        study.NumberOfStudyRelatedInstances = number % 4 + 1
        for keyword, value in attributes.items():
            setattr(study, keyword, value)
        made.append(study)
    return made


@dataclass
class Shelf:
    """A PACS's studies; it tells `cap` of an answer at the most, with the status `capped`, and heeds not `ignored`."""

    studies: Sequence[Dataset]
    cap: int | None = None
    capped: int = 0xA700
    ignored: tuple[str, ...] = ()
    questions: list[Dataset] = field(default_factory=list)

    def answer(self, request: Dataset) -> Answers:
        """The answers to a question at STUDY level."""
        self.questions.append(request)
        found = [study for study in self.studies if self._fits(study, request)]
        for study in found[: self.cap]:
            yield 0xFF00, study
        if self.cap is not None and len(found) > self.cap:
            yield self.capped, None

    def _fits(self, study: Dataset, request: Dataset) -> bool:
        return all(
            fits(study.get(element.keyword), element.value)
            for element in request
            if element.value and element.keyword not in {"QueryRetrieveLevel", *self.ignored}
        )


def fits(told: object, asked: object) -> bool:
    """Whether a value matches a key: a range, a list, a wildcard, or one value (PS3.4 C.2.2.2)."""
    if isinstance(asked, Sequence) and not isinstance(asked, str):
        return str(told) in map(str, asked)
    low, dash, high = str(asked).partition("-")
    if dash and re.fullmatch(r"[0-9.]*", low + high):
        return bool(told) and low <= str(told) <= high
    return fnmatchcase(str(told).casefold(), str(asked).casefold())


def archive(source: FakePacs, retrieve: str = "move", **settings: object) -> Archive:
    """A fake as one that studies are fetched from."""
    where = {"ae_title": "FAKEPACS", "host": "127.0.0.1", "port": source.port, "timeout_s": 2}
    return Archive.model_validate({"name": "fake", "retrieve": retrieve} | where | settings)


def told(shelf: Shelf | Callable[[Dataset], Answers], ask: Callable[[Archive], Iterator[Entry]]) -> list[Entry]:
    """What is found in a PACS that answers so."""
    answer = shelf.answer if isinstance(shelf, Shelf) else shelf
    with Source(answer=answer).listening() as source:
        return list(ask(archive(source)))
