"""A worker's desk in a folder, with studies received and read as a node does it, in this process."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydicom.dataset import FileDataset

from cxrnode.destination import Destination
from cxrnode.ledger import arrivals, work
from cxrnode.routing import Choice
from cxrnode.settings import Settings
from cxrnode.spool import Receipt
from tests.fakes import FakeModel
from tests.nodes import saved
from workers.analysis import analyse_leased
from workers.desk import Desk

T0 = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
QUIET_S = 20.0


def open_desk(folder: Path, destinations: Sequence[Destination], routes: Sequence[dict[str, Any]] = ()) -> Desk:
    """A desk whose state lies in `folder`."""
    state: dict[str, Any] = {"node": {"state_dir": folder}, "receiving": {"reserve_gb": 0}}
    return Desk(Settings(**state, destinations=destinations, routes=routes))


def receive(desk: Desk, film: FileDataset, calling_ae: str = "DXROOM1", *, ledger_away: bool = False) -> None:
    """One film on the disk and, unless the ledger is away, in the ledger, as the receiver leaves it."""
    path = saved(film, desk.settings.node.state_dir / "film.dcm")
    uids = (film.SOPInstanceUID, film.SOPClassUID, film.StudyInstanceUID, "1.2.840.10008.1.2.1")
    key = desk.spool.key_for(film.SOPInstanceUID)
    receipt = Receipt(key, *uids, "0" * 64, path.stat().st_size, calling_ae, "CXRNODE", "::1", "1", T0.isoformat())
    desk.spool.store(path.read_bytes(), receipt)
    if not ledger_away:
        arrivals.note(desk.ledger, [receipt])


def read_all(desk: Desk, models: dict[Choice, FakeModel] | None = None) -> None:
    """Lease all that is due in one batch and analyse it, with one positive model where none is given."""
    now = T0 + timedelta(hours=1)
    arrivals.close_settled(desk.ledger, QUIET_S, now)
    first, *others = work.due(desk.ledger, now, {})
    held = work.lease(desk.ledger, first.task_key, now, 600, companions=len(others))
    known = models or {Choice(desk.settings.model.name): FakeModel()}
    analyse_leased(desk, held, known.__getitem__)
