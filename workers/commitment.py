"""Storage commitment under lease: conclude from what was reported, else wait for it, else ask; then end it."""

import time
from datetime import UTC, datetime

from cxrnode.commitment import Report, Request
from cxrnode.deliver import NOT_OFFERED, request_commitment
from cxrnode.errors import NoWayBack, PeerRefused, PeerUnavailable, StaleLease
from cxrnode.faultpoints import Point, reached
from cxrnode.ledger import commitments, work
from cxrnode.ledger.states import Work
from cxrnode.ledger.work import Lease
from cxrnode.log import logger
from cxrnode.metrics import counts
from cxrnode.settings.destination import Destination
from workers import peers
from workers.desk import Desk

LOG = logger("commitment")
STAY_S, LOOK_S = 1.0, 0.02
"""So long an association stays open for a report on it, and so often is looked whether it came, there or elsewhere."""


def commit_leased(desk: Desk, lease: Lease, now: datetime) -> None:
    """Bring the commitment of a round's objects at the lease's destination as far as it goes at present."""
    try:
        if _settled(desk, lease, desk.destination(lease.destination), now):
            peers.not_called(desk, lease)
        else:
            _ask(desk, lease, peers.peer_of(desk, lease), now)
    except (PeerUnavailable, NoWayBack) as error:
        peers.not_called(desk, lease)
        _later(desk, lease, str(error), now)
    except StaleLease as error:
        LOG.warning("commitment dropped", task=lease.task_key, reason=str(error))
        counts.LOST.labels(Work.COMMIT).inc()
    except Exception as error:  # noqa: BLE001  the edge of a task: whatever it was, the ledger must know
        peers.unforeseen(desk, lease, error, lambda kind: _later(desk, lease, kind, now))


def _settled(desk: Desk, lease: Lease, destination: Destination, now: datetime) -> bool:
    """Whether there is nothing to ask now: all has an answer, or a report may still come; the lease is ended then."""
    standing = commitments.conclude(desk.ledger, lease, destination.commitment_timeout_s, now)
    if standing.until is not None and standing.waiting:
        told = f"{destination.name}: waiting for the report on storage commitment"
        commitments.wait(desk.ledger, lease, standing.until, told, now)
        return True
    told = f"{destination.name} was asked {commitments.MOST_REQUESTS} times in vain: accepted, not committed"
    silent = commitments.stop_asking(desk.ledger, lease, told, now)
    if silent:
        LOG.error("not committed", task=lease.task_key, destination=destination.name, objects=silent)
        counts.NOT_COMMITTED.labels(destination.name).inc(silent)
    if standing.waiting > silent:
        return False
    commitments.finish(desk.ledger, lease, told if silent else "", now)
    LOG.info("commitment settled", task=lease.task_key, destination=destination.name)
    return True


def _ask(desk: Desk, lease: Lease, destination: Destination, now: datetime) -> None:
    def take(report: Report) -> bool:
        return commitments.record(desk.ledger, report, [destination.name], datetime.now(UTC))

    def stay(request: Request) -> None:
        reached(Point.AFTER_REQUEST)
        commitments.asked(desk.ledger, request.transaction_uid, now)
        LOG.info(
            "commitment asked for", task=lease.task_key, destination=destination.name, objects=len(request.objects)
        )
        leave = time.monotonic() + STAY_S
        while time.monotonic() < leave and not commitments.reported(desk.ledger, request.transaction_uid):
            time.sleep(LOOK_S)

    def begin() -> Request:
        request = commitments.ask(desk.ledger, lease)
        reached(Point.BEFORE_REQUEST)
        return request

    try:
        request_commitment(destination, desk.settings.node.ae_title, begin, take, stay)
    except PeerRefused as refusal:
        peers.answered(desk, lease)
        if refusal.status in NOT_OFFERED:
            _not_offered(desk, lease, destination, now)
        else:
            _later(desk, lease, str(refusal), now)
    except PeerUnavailable as error:
        _later(desk, lease, str(error), now, held=peers.failed(desk, lease, str(error), now))
    else:
        peers.answered(desk, lease)
        if not _settled(desk, lease, destination, now):
            work.put_back(desk.ledger, lease, now, f"{destination.name}: not every object was reported on")


def _not_offered(desk: Desk, lease: Lease, destination: Destination, now: datetime) -> None:
    if destination.commitment == "required":
        _stop(desk, lease, f"{destination.name} offers no storage commitment, which is required", now)
        return
    told = f"{destination.name} offers no storage commitment: accepted is the last word"
    commitments.finish(desk.ledger, lease, told, now, accepted_is_enough=True)
    LOG.info("commitment not offered", task=lease.task_key, destination=destination.name)


def _later(desk: Desk, lease: Lease, trouble: str, now: datetime, *, held: bool = False) -> None:
    if peers.too_old(desk, lease, now):
        _stop(desk, lease, f"{trouble}: accepted, not committed", now)
        return
    peers.put_back(desk, lease, trouble, now, held=held)
    LOG.warning("commitment later", task=lease.task_key, reason=trouble, attempts=lease.attempts)


def _stop(desk: Desk, lease: Lease, reason: str, now: datetime) -> None:
    """Everything that waits is accepted, and not committed for `reason`."""
    commitments.stop_asking(desk.ledger, lease, reason, now, after=0)
    commitments.finish(desk.ledger, lease, reason, now)
    LOG.error("not committed", task=lease.task_key, destination=lease.destination, reason=reason)
