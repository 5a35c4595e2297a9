"""C-FIND SCU: asks a PACS how many instances of a study it has (PS3.4 C.4.1, C.6.2), a stranger's word.

Questions are put in threads, so that a slow or dead PACS holds up nobody: one association at a time a PACS, and no
queue. What finds no room is asked later; the ledger knows when.
"""

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import by pynetdicom
    StudyRootQueryRetrieveInformationModelFind,
)

from cxrnode.calling import SOP_CLASS_NOT_SUPPORTED, UNCOMPRESSED, VERIFICATION_CONTEXT, associate
from cxrnode.destination import Destination
from cxrnode.doorway import received
from cxrnode.errors import PeerRefused, PeerUnavailable
from cxrnode.ledger.completions import Question, Said

FIND = str(StudyRootQueryRetrieveInformationModelFind)
FIND_CONTEXTS = {(FIND, syntax) for syntax in UNCOMPRESSED} | {VERIFICATION_CONTEXT}
"""Verification besides, for an association of which nothing was accepted tells nothing"""
PENDING = (0xFF00, 0xFF01)
COUNT = re.compile(r"\s*\+?[0-9]{1,9}\s*")
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
    association = associate(source, calling_ae, FIND_CONTEXTS, [(evt.EVT_CONN_OPEN, partial(_limit, source.timeout_s))])
    try:
        counts = set(_counts(association, study_instance_uid, monotonic() + source.timeout_s))
    except Exception:
        association.abort(block=False)
        raise
    association.release()
    return counts.pop() if len(counts) == 1 else None


def answers_queries(source: Destination, calling_ae: str) -> bool:
    """Whether a PACS accepts to be asked. Raises PeerUnavailable with the reason."""
    association = associate(source, calling_ae, FIND_CONTEXTS)
    association.release()
    return _offers(association)


@dataclass(frozen=True)
class Answer:
    """What came of a question."""

    question: Question
    said: Said
    instances: int | None


class Inquiries:
    """The questions under way; `wake` is called whenever an answer is there to be fetched."""

    def __init__(self, calling_ae: str, wake: Callable[[], None]) -> None:
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
            instances = count_instances(source, self._calling_ae, question.study_instance_uid)
            said = Said.SILENT if instances is None else Said.COUNT
        except PeerRefused:
            said = Said.REFUSED
        except Exception:  # noqa: BLE001, S110  a stranger's bytes may make pynetdicom raise anything: no answer it is
            pass
        self._asking.discard(_where(source))
        self._answers.append(Answer(question, said, instances))
        self._wake()


def _counts(association: Association, study_instance_uid: str, give_up: float) -> Iterator[int | None]:
    if not _offers(association):
        raise PeerRefused("the source accepts no presentation context for C-FIND", SOP_CLASS_NOT_SUPPORTED)
    request = Dataset()
    request.QueryRetrieveLevel = "STUDY"
    request.StudyInstanceUID = study_instance_uid
    request.NumberOfStudyRelatedInstances = None
    for number, (answer, match) in enumerate(association.send_c_find(request, FIND)):
        status = answer.get("Status")
        if status == 0x0000:
            return
        if status is None:
            raise PeerUnavailable("the source gave no answer to C-FIND")
        if status not in PENDING:
            raise PeerRefused(f"the source answered C-FIND with 0x{status:04X}", status)
        if number >= MOST_ANSWERS or monotonic() > give_up:
            raise PeerUnavailable("the source's answer to C-FIND does not come to an end")
        if match is not None and _text(match, "StudyInstanceUID") == study_instance_uid:
            yield _number(_text(match, "NumberOfStudyRelatedInstances"))


def _text(match: Dataset, keyword: str) -> str:
    """A value as text, empty where it cannot be read."""
    try:
        return str(match.get(keyword, ""))
    except Exception:  # noqa: BLE001  whatever a stranger's bytes make pydicom raise
        return ""


def _number(told: str) -> int | None:
    """The count; none is no answer, as one who knows nothing of a study cannot say when it is whole."""
    return (int(told) or None) if COUNT.fullmatch(told) else None


def _offers(association: Association) -> bool:
    return FIND in {context.abstract_syntax for context in association.accepted_contexts}


def _limit(patience_s: float, event: evt.Event) -> None:
    """Give the connection its limits: the length and time of a PDU, and the bytes of all answers together."""
    connection: Any = event.assoc.dul.socket  # pynetdicom's, round the socket itself
    left = LARGEST_ANSWER

    def recv(size: int) -> bytearray:
        nonlocal left
        left -= size
        if left < 0:
            raise OSError(f"more than {LARGEST_ANSWER} bytes of answers")
        return received(connection.socket, size, patience_s=patience_s)

    connection.recv = recv


def _where(source: Destination) -> tuple[str, str, int]:
    return source.ae_title, source.host, source.port
