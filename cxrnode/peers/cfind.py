"""C-FIND SCU: a question to a PACS and its answers, within limits of number, bytes and time (PS3.4 C.4.1)."""

from collections.abc import Iterator
from time import monotonic
from types import TracebackType
from typing import Self

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import by pynetdicom
    StudyRootQueryRetrieveInformationModelFind,
)

from cxrnode.errors import CxrNodeError, PeerRefused, PeerUnavailable
from cxrnode.peers.calling import (
    SOP_CLASS_NOT_SUPPORTED,
    UNCOMPRESSED,
    VERIFICATION_CONTEXT,
    Allowance,
    associate,
    called,
    silence,
)
from cxrnode.settings.destination import Destination

FIND = str(StudyRootQueryRetrieveInformationModelFind)
FIND_CONTEXTS = {(FIND, syntax) for syntax in UNCOMPRESSED} | {VERIFICATION_CONTEXT}
"""Verification besides, for an association of which nothing was accepted tells nothing"""
PENDING = (0xFF00, 0xFF01)
OUT_OF_RESOURCES = 0xA700
"""What a PACS answers that has more matches than it will tell (PS3.4 Table C.4-1)."""
MOST_MATCHES = 10_000
"""Of one question; more count as too many to tell."""
LARGEST_ANSWER = 2**26
"""Bytes of all matches of one question, which may come faster than they are read; an honest one has a few hundred."""
LONGEST_QUESTION = 10
"""A question's matches must be whole within so many times the patience for each."""


class TooManyError(Exception):
    """There are more matches than are told: the question is too wide."""


class Asking:
    """Questions put to a PACS one after the other, over one association for as long as it lasts."""

    def __init__(self, source: Destination, calling_ae: str) -> None:
        self._source, self._calling_ae = source, calling_ae
        self._allowance = Allowance(LARGEST_ANSWER, source.timeout_s)
        self._association: Association | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._association is not None and self._association.is_established:
            self._association.release()

    def ask(self, request: Dataset) -> Iterator[Dataset | None]:
        """The matches one at a time; None is one that cannot be read.

        Raises TooManyError after the last that is told where there are more, PeerUnavailable and PeerRefused.
        """
        association = self._associated()
        whole = False
        try:
            patience_s = LONGEST_QUESTION * self._source.timeout_s
            yield from answers(association, self._source, request, MOST_MATCHES + 1, patience_s)
            whole = True
        except PeerRefused as refusal:
            whole = True
            if refusal.status == OUT_OF_RESOURCES:
                raise TooManyError from refusal
            raise
        finally:
            if not whole:
                association.abort(block=False)
                self._association = None

    def _associated(self) -> Association:
        self._allowance.renew()
        if self._association is None or not self._association.is_established:
            limits = [(evt.EVT_CONN_OPEN, self._allowance.on_open)]
            self._association = associate(self._source, self._calling_ae, FIND_CONTEXTS, limits)
        return self._association


def answers(
    association: Association, source: Destination, request: Dataset, most: int, patience_s: float
) -> Iterator[Dataset | None]:
    """The matches of one question; None is one that cannot be read.

    Raises PeerRefused with the status where it is a failure, and PeerUnavailable where the association ends, nothing
    comes in time, or more than `most` matches come or for longer than `patience_s`.
    """
    if not offers(association):
        association.release()
        raise PeerRefused(f"{called(source)} accepts no presentation context for C-FIND", SOP_CLASS_NOT_SUPPORTED)
    try:
        yield from _answers(association, source, request, most, patience_s)
    except CxrNodeError:
        raise
    except Exception as error:
        told = f"{called(source)} answers C-FIND with what cannot be understood ({type(error).__name__})"
        raise PeerUnavailable(told) from error


def offers(association: Association) -> bool:
    """Whether the peer accepted to be asked."""
    return FIND in {context.abstract_syntax for context in association.accepted_contexts}


def _answers(
    association: Association, source: Destination, request: Dataset, most: int, patience_s: float
) -> Iterator[Dataset | None]:
    began = last = monotonic()
    for number, (answer, match) in enumerate(association.send_c_find(request, FIND)):
        status = answer.get("Status")
        if status == 0x0000:
            return
        if status is None:
            raise PeerUnavailable(f"{called(source)} {silence(association, 'C-FIND', number, monotonic() - last)}")
        if status not in PENDING:
            raise PeerRefused(f"{called(source)} answered C-FIND with 0x{status:04X}", status)
        last = monotonic()
        if number >= most or last > began + patience_s:
            raise PeerUnavailable(f"the answer of {called(source)} to C-FIND does not come to an end")
        yield match
