"""What is negotiated and how statuses are taken, read off the two application entities and the function that judges."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from cxrnode import deliver, receive
from cxrnode.deliver import Answer, judge
from cxrnode.destination import Destination
from cxrnode.receive import StoreStatus
from cxrnode.settings import Settings

Named = tuple[str, str]
"""a UID's name and the UID"""

STATUSES = {
    StoreStatus.SUCCESS: "The bytes and their receipt are on the disk, or the same instance was there already",
    StoreStatus.OUT_OF_RESOURCES: "Less than `receiving.reserve_gb` is free, or the disk cannot be written",
    StoreStatus.DOES_NOT_MATCH_SOP_CLASS: "A UID is absent or none, or is not the request's",
    StoreStatus.CANNOT_UNDERSTAND: "The data set cannot be parsed, or the node has an internal fault",
}
ANSWERS = {
    Answer.ACCEPTED: "Accepted. It is not sent again",
    Answer.LATER: "Sent again later",
    Answer.REFUSED: "Refused for good. It is not sent again; the operator sees the status",
}
LIMITS = ("maximum_pdu_size", "acse_timeout", "dimse_timeout", "network_timeout")


@dataclass(frozen=True)
class Contexts:
    """SOP classes that are negotiated in the same transfer syntaxes."""

    sop_classes: tuple[Named, ...]
    transfer_syntaxes: tuple[Named, ...]


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


def network(settings: Settings) -> Network:
    """What a node with these settings negotiates."""
    acceptor = receive.application_entity(settings.node.ae_title, settings.receiving)
    patience = float(Destination.model_fields["timeout_s"].get_default())
    initiator = deliver.application_entity(settings.node.ae_title, patience, set())
    accepted = sorted(
        ((tuple(one.transfer_syntax or ()), UID(one.abstract_syntax or "")) for one in acceptor.supported_contexts),
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
        acceptor={name: getattr(acceptor, name) for name in (*LIMITS, "maximum_associations")},
        initiator={name: getattr(initiator, name) for name in (*LIMITS, "connection_timeout")},
        answers=tuple((f"0x{status:04X}", _spelt(status.name), STATUSES[status]) for status in StoreStatus),
        judged=tuple(_judged()),
    )


def named(uid: str) -> Named:
    """A UID with its name."""
    return UID(uid).name, str(uid)


def _decodes(syntax: str) -> bool:
    try:
        return get_decoder(UID(syntax)).is_available
    except NotImplementedError:
        return False


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
