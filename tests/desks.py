"""A worker's desk in a folder, with studies received and read as a node does it, in this process."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydicom.dataset import FileDataset

from cxrnode.destination import Destination
from cxrnode.ledger import arrivals, work
from cxrnode.receive import keep
from cxrnode.routing import Choice
from cxrnode.settings import Settings
from cxrnode.spool import Receipt
from tests.fakes import FakeModel
from tests.nodes import saved
from workers.analysis import analyse_leased
from workers.desk import Desk

T0 = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
QUIET_S, HOUR = 20.0, timedelta(hours=1)


def open_desk(folder: Path, destinations: Sequence[Destination], routes: Sequence[dict[str, Any]] = ()) -> Desk:
    """A desk whose state lies in `folder`."""
    state: dict[str, Any] = {"node": {"state_dir": folder}, "receiving": {"reserve_gb": 0}}
    return Desk(Settings(**state, destinations=destinations, routes=routes))


def receive(
    desk: Desk, film: FileDataset, calling_ae: str = "DXROOM1", *, at: datetime = T0, ledger_away: bool = False
) -> None:
    """One film on the disk and, unless the ledger is away, in the ledger, as the receiver leaves it."""
    content = saved(film, desk.settings.node.state_dir / "film.dcm").read_bytes()
    uids = (film.SOPInstanceUID, film.SOPClassUID, film.StudyInstanceUID, "1.2.840.10008.1.2.1")
    sha256 = hashlib.sha256(content).hexdigest()
    came = (sha256, len(content), calling_ae, "CXRNODE", "::1", "1", at.isoformat())
    receipt = keep(desk.spool, content, Receipt(desk.spool.key_for(film.SOPInstanceUID), *uids, *came))
    if not ledger_away:
        arrivals.note(desk.ledger, [receipt])


def read_all(desk: Desk, models: dict[Choice, FakeModel] | None = None, *, now: datetime = T0 + HOUR) -> None:
    """Lease all that is due in one batch and analyse it, with one positive model where none is given."""
    arrivals.close_settled(desk.ledger, QUIET_S, now)
    first, *others = work.due(desk.ledger, now, {})
    held = work.lease(desk.ledger, first.task_key, now, 600, companions=len(others))
    known = models or {Choice(desk.settings.model.name): FakeModel()}
    analyse_leased(desk, held, known.__getitem__)
