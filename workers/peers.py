"""The peer behind a lease's destination: which one it is, and what its circuit learns from a call."""

from collections.abc import Callable
from datetime import UTC, datetime

from cxrnode.errors import LedgerUnavailable, NoWayBack, PeerUnavailable, StaleLease
from cxrnode.ledger import circuits, returns, work
from cxrnode.ledger.returns import Origin
from cxrnode.ledger.work import Lease
from cxrnode.log import logger
from cxrnode.settings.destination import Destination
from cxrnode.settings.sender import Sender
from workers.desk import Desk

LOG = logger("peers")


def peer_of(desk: Desk, lease: Lease) -> Destination:
    """The destination, or the sender that it stands for.

    Raises PeerUnavailable when the settings do not name it (any more), it was waited for too long, or the task is that
    old and stopped its last worker; and NoWayBack.
    """
    destination = desk.destination(lease.destination)
    if lease.passage.away:
        raise PeerUnavailable(f"{lease.destination}: {lease.passage.away}")
    if lease.cut_short and too_old(desk, lease, datetime.now(UTC)):
        raise PeerUnavailable("; ".join(filter(None, (lease.last_error, "its worker was stopped"))))
    return sender_of(desk, lease.round_key, destination) if destination.return_to_sender else destination


def sender_of(desk: Desk, round_key: str, destination: Destination) -> Destination:
    """The first of a study's senders that can be called back, noted for good with the round. Raises NoWayBack."""
    before = returns.noted(desk.ledger, round_key, destination.name)
    origins = [before] if before else returns.origins(desk.ledger, round_key)
    for origin in origins:
        sender = _calls(desk, origin)
        if sender is not None and sender.return_port is not None:
            returns.note(desk.ledger, round_key, destination.name, origin)
            return destination.at(sender.source(origin.address))
    names = ", ".join(dict.fromkeys(origin.ae_title for origin in origins))
    raise NoWayBack(f"{destination.name}: nothing can be sent to {names}: no return_port in receiving.senders")


def failed(desk: Desk, lease: Lease, reason: str, now: datetime) -> bool:
    """The peer gave no answer; whether its circuit is open, and decides for all its tasks when it is called again."""

    def next_try(failures: int) -> datetime:
        return desk.retry_at(failures, now)

    held = circuits.failed(desk.ledger, lease.task_key, reason, now, next_try, probe=lease.passage.probe)
    if held:
        LOG.error("destination away", destination=lease.destination, reason=reason)
    return held


def answered(desk: Desk, lease: Lease) -> None:
    """The peer is there: whatever waits for it is due."""
    if circuits.answered(desk.ledger, lease.task_key):
        LOG.info("destination back", destination=lease.destination)


def not_called(desk: Desk, lease: Lease) -> None:
    """There was nothing to ask the peer: if this was its probe, another one is."""
    if lease.passage.probe:
        circuits.not_called(desk.ledger, lease.task_key, datetime.now(UTC))


def too_old(desk: Desk, lease: Lease, now: datetime) -> bool:
    """Whether the task is to be given up, unless it ends now."""
    return now - lease.created_at > desk.settings.delivery.give_up


def unforeseen(desk: Desk, lease: Lease, error: Exception, later: Callable[[str], None]) -> None:
    """Whatever ended a task unforeseen is no reason to do it for ever: `later` has the kind alone.

    The text of the error may quote a header.
    """
    LOG.error("task failed", task=lease.task_key, attempts=lease.attempts, reason=type(error).__name__)
    try:
        not_called(desk, lease)
        later(type(error).__name__)
    except (StaleLease, LedgerUnavailable) as lost:
        LOG.warning("lease lost", task=lease.task_key, reason=str(lost))


def put_back(desk: Desk, lease: Lease, trouble: str, now: datetime, *, held: bool) -> None:
    """Give the task back, due as its own attempts say, or (`held`) as its peer's circuit says, and then no attempt."""
    due_at = now if held else desk.retry_at(lease.attempts, now)
    work.put_back(desk.ledger, lease, due_at, trouble, counts=not held)


def _calls(desk: Desk, origin: Origin) -> Sender | None:
    admitting = (one for one in desk.settings.senders if one.admits(*origin))
    return next(admitting, None)
