"""What the audit trail is told of one association with a destination: what is about to go, and what of it was taken.

The first is told before the first object goes, so that a worker that is killed in between has left a line of it.
"""

from collections.abc import Sequence
from datetime import datetime

from cxrnode.audit.about import about
from cxrnode.audit.events import About, counted_classes
from cxrnode.ledger.parcels import Parcel
from cxrnode.settings.destination import Destination
from workers.desk import Desk


class Disclosure:
    """The objects of a round on their way to one destination; nothing is told where none goes."""

    def __init__(self, desk: Desk, destination: Destination, due: Sequence[Parcel]) -> None:
        self._recorder, self._destination, self._due = desk.recorder, destination, due
        self._files = [desk.spool.result(parcel.round_key, parcel.file) for parcel in due]
        self._of: About | None = None
        self._gone: list[int] = []
        self._taken: list[int] = []

    def begins(self, index: int, now: datetime) -> None:
        """This object is about to be sent."""
        if self._of is None:
            self._of = about(self._files)
            self._recorder.sending(self._destination, self._of, self._classes(range(len(self._due))), now)
        self._gone.append(index)

    def taken(self, index: int) -> None:
        """The destination has this one."""
        self._taken.append(index)

    def ends(self, reason: str, now: datetime) -> None:
        """The association is over: what was sent and not taken was not for this reason."""
        left = [index for index in self._gone if index not in self._taken]
        for some, why in ((self._taken, ""), (left, reason or "no answer")):
            if some and self._of is not None:
                self._recorder.sent(self._destination, self._of, self._classes(some), now, why)

    def _classes(self, indices: Sequence[int]) -> dict[str, int]:
        return counted_classes(self._due[index].sop_class_uid for index in indices)
