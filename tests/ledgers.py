"""A ledger and a spool in a folder, driven as receiver and workers drive them, without either."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import delete

from cxrnode.finding import Outcome
from cxrnode.ledger import Ledger, arrivals, outcomes, parcels, tallies, work
from cxrnode.ledger.account import Recount, account, recount
from cxrnode.ledger.outcomes import ReadingRow, RoundResult
from cxrnode.ledger.parcels import ObjectRow
from cxrnode.ledger.states import Fate
from cxrnode.ledger.tables import metadata
from cxrnode.ledger.work import Lease
from cxrnode.receipt import Receipt
from cxrnode.spool import Spool
from tests.databases import LEDGER, ledger_url

T0 = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
QUIET_S = 20.0
LEASE_S = 100.0
NOTE = ObjectRow("2.25.77", "1.2.840.10008.5.1.4.1.1.88.59", "2.25.78", "rejection", "n", "0" * 64)
"""A rejection note that nobody made"""


class Bench:
    """A ledger and a spool in a folder; `arrive` stores an instance and notes it, as the receiver does."""

    def __init__(self, root: Path, kind: str = LEDGER) -> None:
        self.url = ledger_url(root, kind)
        self.ledger = Ledger(self.url)
        self.spool = Spool(root / "spool")

    def anew(self, root: Path) -> None:
        """Nothing has happened, and the spool is another: a new bench, without the time that making a ledger takes."""
        with self.ledger.writing() as db:
            while any(db.execute(delete(table)).rowcount for table in reversed(metadata.sorted_tables)):
                pass  # from the beginning after each that held something, for the running count's triggers note that
        self.spool = Spool(root / "spool")

    def arrive(self, uid: str, study: str = "1.9", at: datetime = T0, *, aside_of: str = "") -> str:
        key = self.spool.aside_key(aside_of, "x") if aside_of else self.spool.key_for(uid)
        receipt = Receipt(key, uid, "1.2", study, "1.2", "0" * 64, 1, "A", "B", "::1", "1", at.isoformat(), aside_of)
        self.spool.store(b"x", receipt)
        arrivals.note(self.ledger, [receipt])
        return key

    def correct(self, uid: str, at: datetime, attributes: str = "PatientID", study: str = "1.9") -> str:
        """A corrected copy of an instance; returns its sha256."""
        first, sha256 = self.spool.key_for(uid), hashlib.sha256(f"{uid} {at}".encode()).hexdigest()
        kept = (self.spool.aside_key(first, sha256), uid, "1.2", study, "1.2", sha256, 1, "PACS", "B", "::1", "1")
        receipt = Receipt(*kept, at.isoformat(), aside_of=first, corrected=attributes)
        self.spool.store(b"y", receipt)
        arrivals.note(self.ledger, [receipt])
        return sha256

    def ready(self, *uids: str, study: str = "1.9", at: datetime = T0) -> datetime:
        """A closed round of these instances; returns when it was closed."""
        for uid in uids:
            self.arrive(uid, study, at)
        closed_at = at + timedelta(seconds=QUIET_S)
        assert arrivals.close_settled(self.ledger, QUIET_S, closed_at) == 1
        return closed_at

    def lease(self, now: datetime, companions: int = 0) -> list[Lease]:
        due = work.due(self.ledger, now, {})
        return work.lease(self.ledger, due[0].task_key, now, LEASE_S, companions={"live": companions}) if due else []

    def analysed(self, *sent_to: str) -> datetime:
        """A round of one image with a report and an overlay, due at these destinations; when that was."""
        now = self.ready("1.1")
        (held,) = self.lease(now)
        self.finish(held, now, objects=2, sent_to=sent_to)
        return now

    def finish(self, held: Lease, now: datetime, *, objects: int = 1, sent_to: tuple[str, ...] = ("pacs",)) -> None:
        study = outcomes.study_of(self.ledger, self.spool, held.round_key)
        readings = [ReadingRow(instance.key, Outcome.NEGATIVE, "", 0.2) for instance in study.instances]
        mine = f"{held.fence}{int(held.round_key, 16) % 10**20}"
        rows = [
            ObjectRow(f"2.25.{number + 1}{mine}", "1.2", "1.4", role, f"f{number}", "0" * 64)
            for number, role in enumerate(("report", "overlay")[:objects])
        ]
        sent = {name: [row.sop_instance_uid for row in rows] for name in sent_to}
        result = RoundResult(Outcome.NEGATIVE, readings, rows, sent, "m 1", {"read": 1.0})
        outcomes.finish_analysis(self.ledger, held, result, now)

    def delivery(self, now: datetime, destination: str) -> Lease:
        """The lease of the one delivery to this destination that is due."""
        for task in work.due(self.ledger, now, {}):
            (held,) = work.lease(self.ledger, task.task_key, now, LEASE_S)
            if held.destination == destination:
                return held
            work.put_back(self.ledger, held, now, "")
        raise AssertionError(f"nothing is due at {destination}")

    def answer(self, held: Lease, now: datetime, *fates: Fate) -> None:
        """The destination makes this of what is outstanding, in order; none for what is left out."""
        for parcel, fate in zip(parcels.outstanding(self.ledger, held), fates, strict=False):
            parcels.note_fate(self.ledger, held, parcel.sop_instance_uid, fate, status=0, reason="", now=now)

    def deliver(self, now: datetime, destination: str, *fates: Fate) -> None:
        """A whole delivery, ended."""
        held = self.delivery(now, destination)
        self.answer(held, now, *fates)
        parcels.finish_delivery(self.ledger, held, 1.0, now)

    def places(self) -> dict[str, int]:
        """Where the instances are, as counted in full, and by the running count before and after it is brought on."""
        told = account(self.ledger, self.spool)
        assert recount(self.ledger, self.spool) == Recount(told, agreed=True)
        while tallies.settle(self.ledger):
            pass
        assert account(self.ledger, self.spool) == told
        assert recount(self.ledger, self.spool) == Recount(told, agreed=True)
        assert told.balanced
        return {line.place: line.instances for line in told.lines}
