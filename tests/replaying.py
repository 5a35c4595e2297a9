"""Replays in this process: a source that does what it is told, and a node that reads and sends between two turns."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid
from sqlalchemy import select

from cxrnode.headers.routing import Choice
from cxrnode.ledger import arrivals, concluded, planned, replays, work
from cxrnode.ledger.planned import Claim
from cxrnode.ledger.replays import Replay, Request
from cxrnode.ledger.states import Work
from cxrnode.ledger.tables import rounds
from cxrnode.plans import verdicts
from cxrnode.plans.plan import Entry, Head, Origin
from cxrnode.receipt import Receipt
from cxrnode.receiving.intake import keep, receipt_of
from cxrnode.replay.fetching import Fetching, Landed
from cxrnode.replay.pace import Pace
from cxrnode.replay.run import Run
from cxrnode.replay.source import Fetched
from tests.builders import chest_like, make_cxr, remade
from tests.desks import QUIET_S, read_all, turn
from tests.fakes import ALGORITHM, FakeModel, FakePacs
from tests.nodes import saved
from workers.desk import Desk

T0 = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
TURN = timedelta(seconds=20)
OTHER = replace(ALGORITHM, name="other", version="2", digest="d" * 64)
"""A model with another card than the live one's"""
FILM = make_cxr(chest_like(96, 80))


def film(**attributes: object) -> FileDataset:
    """A frontal chest film of a study of its own."""
    return remade(FILM, **({"SOPInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid()} | attributes))


@dataclass
class Shelf:
    """A source: films by study, and what goes wrong with a study, in turn, each time it is fetched."""

    desk: Desk
    films: dict[str, list[FileDataset]] = field(default_factory=dict)
    faults: dict[str, list[Exception | Fetched]] = field(default_factory=dict)
    fetched: Counter[str] = field(default_factory=Counter)
    is_there: bool = True
    replay: str = ""
    """whom it fetches for"""

    def put(self, *films: FileDataset, faults: tuple[Exception | Fetched, ...] = ()) -> Entry:
        """Lay the films of one study there."""
        study = str(films[0].StudyInstanceUID)
        self.films[study], self.faults[study] = [*films], [*faults]
        return Entry(study=study)

    sender = ""

    def fetch(self, entry: Entry, kept: list[Receipt]) -> Fetched:
        """Its films, or the next fault; a Fetched among those says how many of the films come."""
        self.fetched[entry.study] += 1
        faults = self.faults.get(entry.study)
        fault = faults.pop(0) if faults else None
        if isinstance(fault, Exception):
            raise fault
        came = fault or Fetched(sent=len(self.films.get(entry.study, ())))
        for one in self.films.get(entry.study, [])[: came.sent]:
            content = saved(one, self.desk.settings.node.state_dir / "film.dcm").read_bytes()
            kept.append(keep(self.desk.spool, content, receipt_of(self.desk.spool, content, "OLD", self.replay, T0)))
        came.absent = came.absent or not (came.sent or came.failed)
        return came

    def answers(self) -> bool:
        """As it was told."""
        return self.is_there


class AtOnce(Fetching):
    """Fetches in the caller's thread, so that every turn is the same in every run."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf, 4)
        self._at_once: list[Landed] = []

    def begin(self, claim: Claim) -> None:
        """Fetch it now."""
        self._at_once.append(self._fetch(claim))

    def ended(self) -> list[Landed]:
        """All of them."""
        landed, self._at_once = self._at_once, []
        return landed

    @property
    def numbers(self) -> frozenset[int]:
        """Those that were not asked for."""
        return frozenset(one.claim.number for one in self._at_once)

    @property
    def idle(self) -> bool:
        """Whether all were."""
        return not self._at_once


def asked(desk: Desk, *entries: Entry, model: str = "", send: bool = True, again: bool = False) -> Replay:
    """A replay whose plan is loaded."""
    request, head = Request(generate_uid(), model, send, again), Head(origin=Origin.FILES, made_at=T0)
    replay = replays.begin(desk.ledger, request, head, T0)
    planned.load(desk.ledger, replay.key, 1, entries, T0)
    replays.loaded(desk.ledger, replay.key, T0)
    return replay


def begun(shelf: Shelf, replay: Replay, digest: str = ALGORITHM.digest) -> Run:
    """A run of it, as after every start of the command."""
    shelf.replay = replay.key
    return Run(shelf.desk.ledger, replay, AtOnce(shelf), Pace(), [digest])


def finish(
    shelf: Shelf, replay: Replay, run: Run, models: Mapping[Choice, FakeModel] | None = None, *, at: datetime = T0
) -> dict[str, verdicts.Row]:
    """Turn until every study has its verdict, while the node reads and sends; the verdict rows by study."""
    for number in range(60):
        now = at + number * TURN
        run.turn(now)
        if not run.standing.left:
            return {row.study_instance_uid: row for row in concluded.rows(shelf.desk.ledger, replay.key)}
        read_and_send(shelf.desk, models, now)
    raise AssertionError(run.standing)


def read_and_send(desk: Desk, models: Mapping[Choice, FakeModel] | None, now: datetime) -> None:
    """What workers do with all that is due."""
    arrivals.close_settled(desk.ledger, QUIET_S, now)
    while any(task.work is Work.ANALYSE for task in work.due(desk.ledger, now, {})):
        read_all(desk, dict(models) if models else None, now=now)
    turn(desk)  # by the real clock, as analyses end by it


def reports(pacs: FakePacs) -> Counter[str]:
    """How many reports a PACS holds, by study."""
    return Counter(one.StudyInstanceUID for one in pacs.stored if one.Modality == "SR")


def lanes(desk: Desk) -> list[str]:
    """The lane of each round, the earlier rounds of a study first."""
    with desk.ledger.reading() as db:
        return list(db.execute(select(rounds.c.lane).order_by(rounds.c.number)).scalars())
