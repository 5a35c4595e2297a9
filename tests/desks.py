"""A worker's desk in a folder, with studies received and read as a node does it, in this process."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from cxrnode.finding import Outcome
from cxrnode.headers.opening import data_set_at
from cxrnode.headers.routing import Choice
from cxrnode.ledger import arrivals, outcomes, work
from cxrnode.ledger.outcomes import ReadingRow, RoundResult
from cxrnode.ledger.states import Lane, Work
from cxrnode.receipt import Receipt
from cxrnode.receiving.intake import keep
from cxrnode.results.encode import encode
from cxrnode.settings import Settings
from cxrnode.settings.destination import Destination
from tests.databases import ledger_url
from tests.fakes import FakeModel
from tests.nodes import saved
from workers.analysis import analyse_leased
from workers.commitment import commit_leased
from workers.delivery import deliver_leased
from workers.desk import Desk

T0 = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
QUIET_S, HOUR = 20.0, timedelta(hours=1)


def open_desk(
    folder: Path, destinations: Sequence[Destination], routes: Sequence[dict[str, Any]] = (), **settings: Any
) -> Desk:
    """A desk whose state lies in `folder`."""
    state: dict[str, Any] = {"node": {"state_dir": folder}, "receiving": {"reserve_gb": 0}} | settings
    state["ledger"] = {"url": ledger_url(folder)}
    return Desk(Settings(**state, destinations=destinations, routes=routes))


def owing(folder: Path, studies: int, *destinations: Destination, **delivery: float) -> Desk:
    """A desk that owes each destination one small object of each of so many studies."""
    desk = open_desk(folder, destinations, delivery=delivery)
    now = datetime.now(UTC)
    for number in range(studies):
        uid = f"1.2.3.{number + 1}"
        came = ("1.2", uid, "1.2", "0" * 64, 1, "DXROOM1", "CXRNODE", "127.0.0.1", "1", now.isoformat())
        receipt = Receipt(desk.spool.key_for(uid), uid, *came)
        desk.spool.store(b"x", receipt)
        arrivals.note(desk.ledger, [receipt])
    arrivals.close_settled(desk.ledger, QUIET_S, now + timedelta(seconds=QUIET_S))
    for task in work.due(desk.ledger, now + HOUR, {}):
        for held in work.lease(desk.ledger, task.task_key, now + HOUR, 600):
            small = small_object()
            uids = (small.SOPInstanceUID, small.SOPClassUID, small.SeriesInstanceUID)
            kept = desk.keep(held, uids, "report", encode(small))
            covered = outcomes.study_of(desk.ledger, desk.spool, held.round_key)
            read = [ReadingRow(one.key, Outcome.NEGATIVE, "", 0.2) for one in covered.instances]
            sent = {one.name: [kept.sop_instance_uid] for one in destinations}
            result = RoundResult(Outcome.NEGATIVE, read, [kept], sent, "m 1", {})
            outcomes.finish_analysis(desk.ledger, held, result, now)
    return desk


def small_object() -> Dataset:
    """A Secondary Capture of one pixel, with UIDs of its own."""
    small = Dataset()
    small.SOPClassUID, small.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", generate_uid()
    small.StudyInstanceUID, small.SeriesInstanceUID = generate_uid(), generate_uid()
    small.PatientID, small.Modality = "ZZ1", "OT"
    small.Rows = small.Columns = small.SamplesPerPixel = 1
    small.PhotometricInterpretation, small.PixelRepresentation = "MONOCHROME2", 0
    small.BitsAllocated, small.BitsStored, small.HighBit = 8, 8, 7
    small.PixelData = b"\x07\x00"
    small.file_meta = FileMetaDataset()
    small.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return small


def turn(desk: Desk, now: datetime | None = None) -> int:
    """One look at what is due, and each task of it done as a worker does it; how many could be leased."""
    done, give_up = 0, desk.settings.delivery.give_up
    for task in work.due(desk.ledger, now or datetime.now(UTC), {}, give_up):
        at = now or datetime.now(UTC)
        for held in work.lease(desk.ledger, task.task_key, at, 600, give_up=give_up):
            done += 1
            if task.work is Work.COMMIT:
                commit_leased(desk, held, at)
            else:
                deliver_leased(desk, held)
    return done


def receive(
    desk: Desk,
    film: FileDataset,
    calling_ae: str = "DXROOM1",
    *,
    at: datetime = T0,
    ledger_away: bool = False,
    address: str = "::1",
    fetched: str = "",
) -> None:
    """One film on the disk and, unless the ledger is away, in the ledger, as the receiver leaves it."""
    content = saved(film, desk.settings.node.state_dir / "film.dcm").read_bytes()
    uids = (film.SOPInstanceUID, film.SOPClassUID, film.StudyInstanceUID, "1.2.840.10008.1.2.1")
    sha256 = hashlib.sha256(content[data_set_at(content)[1] :]).hexdigest()
    came = (sha256, len(content), calling_ae, "CXRNODE", address, "1", at.isoformat())
    receipt = Receipt(desk.spool.key_for(film.SOPInstanceUID), *uids, *came, fetched=fetched)
    receipt = keep(desk.spool, content, receipt)
    if not ledger_away:
        arrivals.note(desk.ledger, [receipt])


def read_all(
    desk: Desk,
    models: dict[Choice, FakeModel] | Callable[[Choice], FakeModel] | None = None,
    *,
    now: datetime = T0 + HOUR,
    together: int | None = None,
) -> None:
    """Lease all that is due to be analysed in one batch, with one positive model where none is given."""
    arrivals.close_settled(desk.ledger, QUIET_S, now)
    first, *others = (task for task in work.due(desk.ledger, now, {}) if task.work is Work.ANALYSE)
    held = work.lease(desk.ledger, first.task_key, now, 600, companions=dict.fromkeys(Lane, len(others)))
    known = models or {Choice(desk.settings.model.name): FakeModel()}
    analyse_leased(desk, held, known.__getitem__ if isinstance(known, dict) else known, together)
