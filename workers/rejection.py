"""A rejection note under lease: made once for one destination, of exactly what it has taken, and kept like a result."""

import pydicom

from cxrnode import __version__
from cxrnode.ledger import parcels, rejections
from cxrnode.ledger.parcels import ObjectRow
from cxrnode.ledger.rejections import Owed
from cxrnode.ledger.work import Lease
from cxrnode.log import logger
from cxrnode.uids import Role, uid_from
from workers.desk import Desk

LOG = logger("rejection")


def make_note(desk: Desk, lease: Lease) -> None:
    """Make the note that the lease's destination is owed, if it is owed one; raises StaleLease when the lease is lost.

    Under the lease nobody else sends there, so that what it has taken is known.
    """
    owed = note_owed(desk, lease)
    if owed is None:
        return
    parcels.add(desk.ledger, lease, _keep(desk, lease, owed))
    LOG.info("rejection note made", task=lease.task_key, destination=lease.destination, rejected=len(owed.files))


def note_owed(desk: Desk, lease: Lease) -> Owed | None:
    """The note that the lease's destination is owed."""
    with desk.ledger.reading() as db:
        return rejections.owed(db, lease.round_key, lease.destination)


def _keep(desk: Desk, lease: Lease, owed: Owed) -> ObjectRow:
    from cxrnode.results.encode import encode  # here, so that a worker that withdraws nothing loads no highdicom
    from cxrnode.results.keyobjects import build_rejection

    paths = [desk.spool.result(lease.round_key, file) for file in owed.files]
    rejected = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    withdrawn_at = owed.withdrawn_at.astimezone()  # a person reads it: the hospital's own zone
    identity = {
        "round": lease.round_key,
        "destination": lease.destination,
        "rejected": [str(one.SOPInstanceUID) for one in rejected],
        "reason": owed.reason,
        "withdrawn_at": withdrawn_at.isoformat(),
        "software": __version__,
    }
    uid, series_uid = (uid_from(identity | {"role": role}) for role in (Role.REJECTION, Role.REJECTION_SERIES))
    note = build_rejection(rejected[0], rejected, owed.reason, uid=uid, series_uid=series_uid, now=withdrawn_at)
    return desk.keep(lease, (uid, str(note.SOPClassUID), series_uid), Role.REJECTION, encode(note))
