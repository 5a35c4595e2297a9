"""A delivery under lease: send what is outstanding, note each object's fate, try again later or end it."""

import time
from datetime import UTC, datetime

from cxrnode.deliver import Answer, Sent, send
from cxrnode.errors import LedgerUnavailable, NoWayBack, PeerUnavailable, StaleLease
from cxrnode.faultpoints import Point, reached
from cxrnode.ledger import parcels
from cxrnode.ledger.parcels import Parcel
from cxrnode.ledger.states import Fate, Work
from cxrnode.ledger.work import Lease
from cxrnode.log import logger
from cxrnode.metrics import counts
from cxrnode.settings.destination import Destination
from workers import peers
from workers.desk import Desk
from workers.disclosure import Disclosure
from workers.rejection import make_note, note_owed

LOG = logger("delivery")
FATES = {Answer.ACCEPTED: Fate.ACCEPTED, Answer.REFUSED: Fate.REFUSED, Answer.LATER: Fate.DUE}

NOTE_AGAIN_S = 1.0
"""so soon is a ledger that is away asked again to write an answer down"""


def deliver_leased(desk: Desk, lease: Lease) -> None:
    """Send a round's outstanding objects to the lease's destination and write what became of each."""
    try:
        _deliver(desk, lease)
    except StaleLease as error:
        LOG.warning("delivery dropped", task=lease.task_key, reason=str(error))
        counts.LOST.labels(Work.DELIVER).inc()
    except Exception as error:  # noqa: BLE001  the edge of a task: whatever it was, the ledger must know
        peers.unforeseen(desk, lease, error, lambda kind: _later(desk, lease, kind))


def _deliver(desk: Desk, lease: Lease) -> None:
    started = time.perf_counter()
    make_note(desk, lease)
    due = parcels.outstanding(desk.ledger, lease)
    try:
        trouble, held = _try(desk, lease, due)
    except NoWayBack as error:
        peers.not_called(desk, lease)
        _give_up(desk, lease, str(error))
        return
    left = parcels.outstanding(desk.ledger, lease)
    reached(Point.STORED)
    if not left:
        _finish(desk, lease, (time.perf_counter() - started) * 1000)
        LOG.info("delivered", task=lease.task_key, destination=lease.destination, objects=len(due))
        counts.DELIVERIES.labels(lease.destination, "done").inc()
        counts.DELIVERED.labels(lease.destination).observe((datetime.now(UTC) - lease.created_at).total_seconds())
    else:
        _later(desk, lease, trouble, held=held)


def _later(desk: Desk, lease: Lease, trouble: str, *, held: bool = False) -> None:
    """Put it back, or give it up when it is too old; with a note to be made it would only be due again at once."""
    now = datetime.now(UTC)
    if peers.too_old(desk, lease, now) and note_owed(desk, lease) is None:
        _give_up(desk, lease, f"given up after {desk.settings.delivery.give_up_after_h:g} h: {trouble}")
        return
    peers.put_back(desk, lease, trouble, now, held=held)
    LOG.warning("delivery later", task=lease.task_key, reason=trouble, attempts=lease.attempts)
    counts.DELIVERIES.labels(lease.destination, "later").inc()


def _try(desk: Desk, lease: Lease, due: list[Parcel]) -> tuple[str, bool]:
    """Send what is due, if there is somebody to send it to; what stood in the way, and whether the circuit is open."""
    trouble = ""
    try:
        if due:
            return _send(desk, lease, peers.peer_of(desk, lease), due)
    except PeerUnavailable as error:
        trouble = str(error)
    peers.not_called(desk, lease)
    return trouble, False


def _send(desk: Desk, lease: Lease, destination: Destination, due: list[Parcel]) -> tuple[str, bool]:
    """Send and note each answer; what stood in the way of the rest, and whether the circuit is open therefore.

    A peer that is out of resources for all that it is sent is as good as away: one that takes or refuses is there.
    """
    trouble, settled = "", False
    disclosure = Disclosure(desk, destination, due)

    def told(index: int, sent: Sent) -> None:
        nonlocal trouble, settled
        reached(Point.AFTER_STORE)
        fate = FATES[sent.answer]
        settled = settled or sent.answer is not Answer.LATER
        if fate is Fate.ACCEPTED:
            disclosure.taken(index)
        else:
            trouble = sent.reason
            LOG.warning("object not accepted", destination=destination.name, fate=fate, reason=sent.reason)
        _note(desk, lease, due[index], fate, sent)
        counts.OBJECTS.labels(lease.destination, fate).inc()

    def wanted(index: int) -> bool:
        if not parcels.still_due(desk.ledger, lease, due[index].sop_instance_uid):
            return False
        disclosure.begins(index, datetime.now(UTC))
        return True

    try:
        reached(Point.BEFORE_STORE)
        files = [desk.spool.result(parcel.round_key, parcel.file) for parcel in due]
        send(files, destination, desk.settings.node.ae_title, told, wanted)
    except PeerUnavailable as error:
        trouble = str(error)
    finally:
        disclosure.ends(trouble, datetime.now(UTC))
    if trouble and not settled:
        return trouble, peers.failed(desk, lease, trouble, datetime.now(UTC))
    peers.answered(desk, lease)
    return trouble, False


def _note(desk: Desk, lease: Lease, parcel: Parcel, fate: Fate, sent: Sent) -> None:
    """Write an answer down, as long as the lease lasts: without it the object would be sent again."""
    while True:
        uid, now = parcel.sop_instance_uid, datetime.now(UTC)
        try:
            parcels.note_fate(desk.ledger, lease, uid, fate, status=sent.status, reason=sent.reason, now=now)
        except LedgerUnavailable:
            if now > lease.until:
                raise
            time.sleep(NOTE_AGAIN_S)
        else:
            return


def _give_up(desk: Desk, lease: Lease, reason: str) -> None:
    now = datetime.now(UTC)
    for parcel in parcels.outstanding(desk.ledger, lease):
        parcels.note_fate(
            desk.ledger, lease, parcel.sop_instance_uid, Fate.GIVEN_UP, status=None, reason=reason, now=now
        )
    _finish(desk, lease, 0.0)
    LOG.error("delivery given up", task=lease.task_key, destination=lease.destination, reason=reason)
    counts.DELIVERIES.labels(lease.destination, "given up").inc()


def _finish(desk: Desk, lease: Lease, stage_ms: float) -> None:
    asked = {one.name for one in desk.settings.destinations if one.commitment != "off"}
    commit = lease.destination in asked
    parcels.finish_delivery(desk.ledger, lease, stage_ms, datetime.now(UTC), commit=commit)
