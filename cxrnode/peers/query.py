"""C-FIND SCU: asks a PACS how many instances of a study it has (PS3.4 C.4.1, C.6.2), a stranger's word.

Questions are put in threads, so that a slow or dead PACS holds up nobody: one association at a time a PACS, and no
queue. What finds no room is asked later; the ledger knows when.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.association import Association

from cxrnode.errors import PeerRefused
from cxrnode.ledger.completions import Question, Said
from cxrnode.peers.calling import Allowance, associate
from cxrnode.peers.cfind import FIND_CONTEXTS, answers, offers
from cxrnode.peers.match import count_in, text_in
from cxrnode.settings.destination import Destination

MOST_ANSWERS = 16
"""Matches of one Study Instance UID; a PACS that has more to say is not listened to."""
LARGEST_ANSWER = 2**20
"""Bytes of one association's answers; an honest one has a few hundred."""
MOST_QUESTIONS = 8
"""Questions at a time, to as many PACS."""


def count_instances(source: Destination, calling_ae: str, study_instance_uid: str) -> int | None:
    """How many instances of a study a PACS has (0020,1208); None where it does not say, or knows none of it.

    It does not say, too, where it says different things, or something that is no number. Raises PeerUnavailable where
    it gives no answer in time or does not come to an end, and PeerRefused where it will not be asked.
    """
    allowance = Allowance(LARGEST_ANSWER, source.timeout_s)
    association = associate(source, calling_ae, FIND_CONTEXTS, [(evt.EVT_CONN_OPEN, allowance.on_open)])
    try:
        counts = set(_counts(association, source, study_instance_uid))
    except Exception:
        association.abort(block=False)
        raise
    association.release()
    return counts.pop() if len(counts) == 1 else None


def answers_queries(source: Destination, calling_ae: str) -> bool:
    """Whether a PACS accepts to be asked. Raises PeerUnavailable with the reason."""
    association = associate(source, calling_ae, FIND_CONTEXTS)
    association.release()
    return offers(association)


@dataclass(frozen=True)
class Answer:
    """What came of a question."""

    question: Question
    said: Said
    instances: int | None


class Inquiries:
    """The questions under way; `wake` is called whenever an answer is there to be fetched.

    `tell` is told whom each is put to, and the identifier, before it is.
    """

    def __init__(
        self, calling_ae: str, wake: Callable[[], None], tell: Callable[[Destination, Dataset], None] | None = None
    ) -> None:
        self._tell = tell
        self._calling_ae = calling_ae
        self._wake = wake
        self._asking: set[tuple[str, str, int]] = set()
        self._answers: deque[Answer] = deque()

    def free(self, source: Destination) -> bool:
        """Whether this PACS can be asked now."""
        return len(self._asking) < MOST_QUESTIONS and _where(source) not in self._asking

    def begin(self, question: Question, source: Destination) -> None:
        """Ask, in a thread that ends with the process."""
        self._asking.add(_where(source))
        threading.Thread(target=self._ask, args=(question, source), daemon=True).start()

    def answers(self) -> list[Answer]:
        """Those that came since the last time."""
        return [self._answers.popleft() for _ in range(len(self._answers))]

    def _ask(self, question: Question, source: Destination) -> None:
        said, instances = Said.NO_ANSWER, None
        try:
            if self._tell is not None:
                self._tell(source, _question(question.study_instance_uid))
            instances = count_instances(source, self._calling_ae, question.study_instance_uid)
            said = Said.SILENT if instances is None else Said.COUNT
        except PeerRefused:
            said = Said.REFUSED
        except Exception:  # noqa: BLE001, S110  a stranger's bytes may make pynetdicom raise anything: no answer it is
            pass
        self._asking.discard(_where(source))
        self._answers.append(Answer(question, said, instances))
        self._wake()


def _counts(association: Association, source: Destination, study_instance_uid: str) -> Iterator[int | None]:
    for match in answers(association, source, _question(study_instance_uid), MOST_ANSWERS, source.timeout_s):
        if match is not None and text_in(match, "StudyInstanceUID") == study_instance_uid:
            yield count_in(match, "NumberOfStudyRelatedInstances")


def _question(study_instance_uid: str) -> Dataset:
    request = Dataset()
    request.QueryRetrieveLevel = "STUDY"
    request.StudyInstanceUID = study_instance_uid
    request.NumberOfStudyRelatedInstances = None
    return request


def _where(source: Destination) -> tuple[str, str, int]:
    return source.ae_title, source.host, source.port
