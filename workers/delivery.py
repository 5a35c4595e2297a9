"""A delivery under lease: send what is outstanding, note each object's fate, try again later or end it."""

from datetime import UTC, datetime, timedelta
from time import perf_counter

from cxrnode.deliver import Answer, Sent, send
from cxrnode.destination import Destination
from cxrnode.errors import PeerUnavailable, StaleLease
from cxrnode.faultpoints import Point, reached
from cxrnode.ledger import parcels, work
from cxrnode.ledger.parcels import Parcel
from cxrnode.ledger.tables import Fate
from cxrnode.ledger.work import Lease
from cxrnode.log import logger
from workers.desk import Desk
from workers.rejection import make_note

LOG = logger("delivery")
FATES = {Answer.ACCEPTED: Fate.ACCEPTED, Answer.REFUSED: Fate.REFUSED, Answer.LATER: Fate.DUE}


def deliver_leased(desk: Desk, lease: Lease) -> None:
    """Send a round's outstanding objects to the lease's destination and write what became of each."""
    try:
        _deliver(desk, lease)
    except StaleLease as error:
        LOG.warning("delivery dropped", task=lease.task_key, reason=str(error))


def _deliver(desk: Desk, lease: Lease) -> None:
    started = perf_counter()
    make_note(desk, lease)
    due = parcels.outstanding(desk.ledger, lease)
    named = {destination.name: destination for destination in desk.settings.destinations}
    if lease.destination not in named:
        trouble = f"destination {lease.destination!r} is not in the settings; wanted one of {sorted(named)}"
    else:
        trouble = _send(desk, lease, named[lease.destination], due) if due else ""
    left = parcels.outstanding(desk.ledger, lease)
    reached(Point.STORED)
    if not left:
        _finish(desk, lease, (perf_counter() - started) * 1000)
        LOG.info("delivered", task=lease.task_key, destination=lease.destination, objects=len(due))
    elif datetime.now(UTC) - lease.created_at > timedelta(hours=desk.settings.delivery.give_up_after_h):
        _give_up(desk, lease, left, trouble)
    else:
        due_at = desk.retry_at(lease.attempts)
        work.put_back(desk.ledger, lease, due_at, trouble)
        LOG.warning("delivery later", task=lease.task_key, reason=trouble, attempts=lease.attempts)


def _send(desk: Desk, lease: Lease, destination: Destination, due: list[Parcel]) -> str:
    """Send and note each answer; returns what stood in the way of the rest, if anything did."""
    trouble = ""

    def told(index: int, sent: Sent) -> None:
        nonlocal trouble
        reached(Point.AFTER_STORE)
        fate = FATES[sent.answer]
        if fate is not Fate.ACCEPTED:
            trouble = sent.reason
            LOG.warning("object not accepted", destination=destination.name, fate=fate, reason=sent.reason)
        uid, now = due[index].sop_instance_uid, datetime.now(UTC)
        parcels.note_fate(desk.ledger, lease, uid, fate, status=sent.status, reason=sent.reason, now=now)

    def wanted(index: int) -> bool:
        return parcels.still_due(desk.ledger, lease, due[index].sop_instance_uid)

    try:
        reached(Point.BEFORE_STORE)
        files = [desk.spool.result(parcel.round_key, parcel.file) for parcel in due]
        send(files, destination, desk.settings.node.ae_title, told, wanted)
    except PeerUnavailable as error:
        trouble = str(error)
    return trouble


def _give_up(desk: Desk, lease: Lease, left: list[Parcel], trouble: str) -> None:
    now = datetime.now(UTC)
    for parcel in left:
        reason = f"given up after {desk.settings.delivery.give_up_after_h:g} h: {trouble}"
        parcels.note_fate(
            desk.ledger, lease, parcel.sop_instance_uid, Fate.GIVEN_UP, status=None, reason=reason, now=now
        )
    _finish(desk, lease, 0.0)
    LOG.error("delivery given up", task=lease.task_key, destination=lease.destination, reason=trouble)


def _finish(desk: Desk, lease: Lease, stage_ms: float) -> None:
    asked = {one.name for one in desk.settings.destinations if one.commitment != "off"}
    commit = lease.destination in asked
    parcels.finish_delivery(desk.ledger, lease, stage_ms, datetime.now(UTC), commit=commit)
