"""What is negotiated and how statuses are taken, read off the two application entities and the function that judges."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from cxrnode import receive
from cxrnode.commitment import NO_ARCHIVE, NO_SUCH_ACTION, PUSH_MODEL, REASONS, ReportStatus
from cxrnode.deliver import COMMITMENT_CONTEXTS, NOT_OFFERED, Answer, judge
from cxrnode.ledger.circuits import OPENS_AFTER
from cxrnode.ledger.commitments import MOST_FAILURES, MOST_REQUESTS
from cxrnode.peers import calling
from cxrnode.peers.cfind import FIND, FIND_CONTEXTS, MOST_MATCHES
from cxrnode.peers.query import MOST_ANSWERS
from cxrnode.peers.storable import GET, GET_CONTEXTS, MOVE, MOVE_CONTEXTS, STORED
from cxrnode.receiving.arrival import StoreStatus
from cxrnode.receiving.doorway import LARGEST_PDU
from cxrnode.settings import Settings
from cxrnode.settings.archive import Archive
from cxrnode.settings.destination import Destination
from cxrnode.settings.sender import Sender

Named = tuple[str, str]
"""a UID's name and the UID"""

STATUSES = {
    StoreStatus.SUCCESS: "The bytes and their receipt are on the disk, or the same instance was there already",
    StoreStatus.OUT_OF_RESOURCES: "Less than `receiving.reserve_gb` is free, or disk, memory or file handles fail",
    StoreStatus.DOES_NOT_MATCH_SOP_CLASS: "A UID is absent or none, or is not the request's",
    StoreStatus.CANNOT_UNDERSTAND: "The data set cannot be parsed or holds group 0002, or the node is at fault",
}
ANSWERS = {
    Answer.ACCEPTED: "Accepted. It is not sent again",
    Answer.LATER: "Sent again later",
    Answer.REFUSED: "Refused for good. It is not sent again; the operator sees the status",
}
REPORT_STATUSES = {
    ReportStatus.SUCCESS: "The report is in the ledger, or was before",
    ReportStatus.PROCESSING_FAILURE: "The ledger is away, or the node has an internal fault: report again",
    ReportStatus.NO_SUCH_EVENT_TYPE: "The Event Type ID is neither 1 nor 2",
    ReportStatus.INVALID_ARGUMENT_VALUE: "The Transaction UID is absent, or of no request to who calls",
}
LIMITS = ("maximum_pdu_size", "acse_timeout", "dimse_timeout", "network_timeout")


@dataclass(frozen=True)
class Contexts:
    """SOP classes that are negotiated in the same transfer syntaxes."""

    sop_classes: tuple[Named, ...]
    transfer_syntaxes: tuple[Named, ...]


@dataclass(frozen=True)
class Commitment:
    """Storage commitment, asked for as SCU, and declined where it is asked of this node."""

    sop_class: Named
    transfer_syntaxes: tuple[Named, ...]
    timeout_s: float
    not_offered: tuple[str, ...]
    most_requests: int
    most_failures: int
    reasons: tuple[tuple[str, str], ...]
    answers: tuple[tuple[str, str, str], ...]
    declined: tuple[str, str]


@dataclass(frozen=True)
class Query:
    """What a sender is asked about a study, as SCU."""

    sop_class: Named
    transfer_syntaxes: tuple[Named, ...]
    timeout_s: float
    most_answers: int


@dataclass(frozen=True)
class Retrieval:
    """How studies are fetched from an archive, as SCU."""

    move: Named
    get: Named
    transfer_syntaxes: tuple[Named, ...]
    """of both services"""
    brings: tuple[Contexts, ...]
    """what C-GET may bring, this node its SCP"""
    timeout_s: float
    largest_pdu: int
    most_matches: int


@dataclass(frozen=True)
class Network:
    """Both sides of the network: what is accepted, how it is answered, what an answer means."""

    implementation: Named
    """version name and class UID"""
    accepts: tuple[Contexts, ...]
    decodes: tuple[Named, ...]
    """the accepted transfer syntaxes whose pixels can be read"""
    acceptor: dict[str, float | None]
    initiator: dict[str, float | None]
    answers: tuple[tuple[str, str, str], ...]
    judged: tuple[tuple[str, str], ...]
    opens_after: int
    """calls in vain after which a destination counts as away"""
    commitment: Commitment
    query: Query
    retrieval: Retrieval


def network(settings: Settings) -> Network:
    """What a node with these settings negotiates."""
    acceptor = receive.application_entity(settings.node.ae_title, settings.receiving)
    patience = float(Destination.model_fields["timeout_s"].get_default())
    contexts = [one for one in acceptor.supported_contexts if one.abstract_syntax != PUSH_MODEL]
    initiator = calling.application_entity(settings.node.ae_title, patience, set())
    accepted = sorted(
        ((tuple(one.transfer_syntax or ()), UID(one.abstract_syntax or "")) for one in contexts),
        key=lambda pair: (len(pair[0]), pair[1].name),
    )
    return Network(
        implementation=(str(acceptor.implementation_version_name), str(acceptor.implementation_class_uid)),
        accepts=tuple(
            Contexts(tuple(named(uid) for _, uid in group), tuple(map(named, syntaxes)))
            for syntaxes, group in groupby(accepted, key=lambda pair: pair[0])
        ),
        decodes=tuple(
            named(uid) for uid in dict.fromkeys(one for many, _ in accepted for one in many) if _decodes(uid)
        ),
        acceptor={name: getattr(acceptor, name) for name in LIMITS}
        | {"maximum_associations": settings.receiving.max_associations},
        initiator={name: getattr(initiator, name) for name in (*LIMITS, "connection_timeout")},
        answers=_answers(STATUSES),
        judged=tuple(_judged()),
        opens_after=OPENS_AFTER,
        commitment=_commitment(),
        query=Query(
            sop_class=named(FIND),
            transfer_syntaxes=tuple(named(syntax) for uid, syntax in sorted(FIND_CONTEXTS) if uid == FIND),
            timeout_s=float(Sender.model_fields["query_timeout_s"].get_default()),
            most_answers=MOST_ANSWERS,
        ),
        retrieval=_retrieval(),
    )


def named(uid: str) -> Named:
    """A UID with its name."""
    return UID(uid).name, str(uid)


def _decodes(syntax: str) -> bool:
    try:
        return get_decoder(UID(syntax)).is_available
    except NotImplementedError:
        return False


def _commitment() -> Commitment:
    return Commitment(
        sop_class=named(PUSH_MODEL),
        transfer_syntaxes=tuple(named(syntax) for uid, syntax in sorted(COMMITMENT_CONTEXTS) if uid == PUSH_MODEL),
        timeout_s=float(Destination.model_fields["commitment_timeout_s"].get_default()),
        not_offered=tuple(f"0x{status:04X}" for status in sorted(NOT_OFFERED)),
        most_requests=MOST_REQUESTS,
        most_failures=MOST_FAILURES,
        reasons=tuple((f"0x{reason:04X}", meaning) for reason, meaning in REASONS.items()),
        answers=_answers(REPORT_STATUSES),
        declined=(f"0x{NO_SUCH_ACTION:04X}", NO_ARCHIVE),
    )


def _retrieval() -> Retrieval:
    syntaxes = {uid: tuple(syntax for one, syntax in sorted(GET_CONTEXTS) if one == uid) for uid in STORED}
    by_syntaxes = sorted(STORED, key=lambda uid: (-len(syntaxes[uid]), syntaxes[uid], named(uid)))
    return Retrieval(
        move=named(MOVE),
        get=named(GET),
        transfer_syntaxes=tuple(named(syntax) for uid, syntax in sorted(MOVE_CONTEXTS) if uid == MOVE),
        brings=tuple(
            Contexts(tuple(map(named, group)), tuple(map(named, used)))
            for used, group in groupby(by_syntaxes, key=syntaxes.__getitem__)
        ),
        timeout_s=float(Archive.model_fields["timeout_s"].get_default()),
        largest_pdu=LARGEST_PDU,
        most_matches=MOST_MATCHES,
    )


def _answers(statuses: Mapping[Any, str]) -> tuple[tuple[str, str, str], ...]:
    return tuple((f"0x{status:04X}", _spelt(status.name), when) for status, when in statuses.items())


def _judged() -> Iterator[tuple[str, str]]:
    """Every status by range with what comes of it; refusal, which is the rest, last."""
    for answer, run in groupby(range(0x10000), key=judge):
        statuses = list(run)
        if answer is not Answer.REFUSED:
            ends = dict.fromkeys((statuses[0], statuses[-1]))
            yield " to ".join(f"0x{status:04X}" for status in ends), ANSWERS[answer]
    yield "no answer", ANSWERS[judge(None)]
    yield "any other", ANSWERS[Answer.REFUSED]


def _spelt(name: str) -> str:
    return name.replace("_", " ").capitalize().replace("sop", "SOP")
