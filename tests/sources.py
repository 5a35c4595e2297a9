"""A PACS that can be asked, on loopback: it says how many instances of a study it has, truly or as it is told to."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pydicom import Dataset
from pynetdicom import AE, evt

from cxrnode.peers.cfind import FIND
from cxrnode.settings.sender import Sender
from tests.fakes import FakePacs

Answers = Iterator[tuple[int, Dataset | None]]


def match(uid: str, count: object = None) -> Dataset:
    """A match of a study, with a count where it is given."""
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    found.StudyInstanceUID = uid
    if count is not None:
        found.add_new("NumberOfStudyRelatedInstances", "LO", str(count))  # a client decodes it as implicit VR says: IS
    return found


@dataclass
class Source(FakePacs):
    """A Query SCP: `answer` has the responses to a request, by default one match with the next of `counts`."""

    counts: list[object] = field(default_factory=list)
    answer: Callable[[Dataset], Answers] | None = None
    offers: bool = True
    asked: list[Dataset] = field(default_factory=list)
    gate: threading.Event | None = None
    """it answers once this is set"""
    at_once: int = 0
    most_at_once: int = 0

    def sender(self, **settings: object) -> Sender:
        """This PACS as one that sends, and may be asked."""
        where = {"ae_title": "FAKEPACS", "addresses": ["127.0.0.1"], "return_port": self.port, "query": True}
        return Sender.model_validate(where | {"query_timeout_s": 2} | settings)

    def _offer_more(self, ae: AE) -> Sequence[evt.EventHandlerType]:
        if self.offers:
            ae.add_supported_context(FIND, "1.2.840.10008.1.2")
        return [(evt.EVT_C_FIND, self._on_c_find)]

    def _on_c_find(self, event: evt.Event) -> Answers:
        request = event.identifier
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                self.gate.wait(30)
            if self.answer is not None:
                yield from self.answer(request)
            elif self.counts:
                count = self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]
                yield 0xFF00, match(request.StudyInstanceUID, count)
        finally:
            self.at_once -= 1
