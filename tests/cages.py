"""A desk that keeps a canary, which is sent straight to its spool, without a receiver or a thread."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from cxrnode.ledger import canaries
from cxrnode.ledger.canaries import Flock
from cxrnode.serving.canary import Canary, film
from cxrnode.settings.destination import Destination
from tests.desks import QUIET_S, open_desk, receive

T0 = datetime.now(UTC)
"""What a desk does is done now."""
CANARY = {"every_h": 1.0, "within_s": 1800.0}
SOON = timedelta(seconds=QUIET_S)


class Cage:
    """A desk with a canary that is sent straight to its spool, unless `away`."""

    def __init__(self, folder: Path, *destinations: Destination, **more: Any) -> None:
        self.desk = open_desk(folder, destinations, **{"canary": CANARY} | more)
        self.sent: list[str] = []
        self.canary = Canary(self.desk.settings, self.desk.ledger, self.desk.spool, self.desk.recorder, self.note)
        self.away = False

    def note(self, _send: Callable[[], None]) -> None:
        """Told that one is to be sent."""
        with self.desk.ledger.reading() as db:
            latest = select(canaries.canaries).order_by(canaries.canaries.c.began_at.desc())
            row = db.execute(latest.limit(1)).one()
        self.sent.append(row.study_instance_uid)
        if not self.away:
            receive(self.desk, film(self.desk.settings, self.sent[-1], row.began_at), "CXRCANARY", at=row.began_at)

    def flock(self) -> Flock:
        found = canaries.flock(self.desk.ledger)
        assert found is not None
        return found

    def lost(self, now: datetime) -> str:
        return canaries.lost(self.flock(), self.desk.settings.canary.every, now)
