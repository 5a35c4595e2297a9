"""How long a result takes beyond completion: alone, with a replay beside it, and STAT while five hundred studies wait.

Measured from the last C-STORE response plus the quiet time, which is a setting, to when the archive had accepted the
study's last result. The node is whole (`cxrnode up`, default model, one analysis worker), the archive a real Orthanc.
Studies come one at a time, at moments drawn by chance, so that they meet the others' work at every place; phases with
and without a replay take turns. In the end every result that counts as accepted is looked for in the archive.
"""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid
from sqlalchemy import func, select

from cxrnode.deliver import send
from cxrnode.ledger import Ledger
from cxrnode.ledger.states import TAKEN, Lane, State
from cxrnode.ledger.tables import deliveries, objects, rounds, studies
from tests.bench.figures import Figure, at_most, ratio_at_most
from tests.builders import chest_like, make_cxr, remade
from tests.nodes import RunningNode, running_node, saved
from tests.orthanc import Orthanc, running_orthanc

PHASES, LIVE_STUDIES, OLD_STUDIES, STAT_STUDIES, SEED = 4, 8, 120, 15, 20261121
ROWS, COLUMNS = 2048, 1792
WAITING, READ_MEANWHILE = 500, 450
"""So many must wait all the while; beyond them come those that are read meanwhile, which are of full size and first."""
BITE = 25
"""Of those, so many come over one association."""
IN_HAND = "one worker: what is in its hands is ended first, so that on average half of a study's analysis is waited for"
PATIENCE_S = 120.0
LOOK_S = 0.05


@dataclass
class Ward:
    """A node, its archive, and films to send; `sent` has the UIDs of the studies whose latency was measured."""

    node: RunningNode
    orthanc: Orthanc
    folder: Path
    film: FileDataset = field(default_factory=lambda: make_cxr(chest_like(ROWS, COLUMNS)))
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    sent: list[str] = field(default_factory=list)

    def latencies(self, studies: int, **attributes: object) -> list[float]:
        """So many studies, one after another: milliseconds beyond completion to the last result accepted."""
        return [self._latency(attributes) for _ in range(studies)]

    def _latency(self, attributes: dict[str, object]) -> float:
        time.sleep(self.chance.uniform(0.0, 1.0))
        uid = generate_uid()
        path = _study(self.film, self.folder / "live.dcm", StudyInstanceUID=uid, **attributes)
        answered: list[datetime] = []
        send([path], self.node.receiver, "DXROOM1", lambda *_: answered.append(datetime.now(UTC)))
        complete = answered[-1] + timedelta(seconds=self.node.settings.receiving.quiet_s)
        give_up = time.monotonic() + PATIENCE_S
        while (accepted := self._accepted(uid)) is None:
            if time.monotonic() > give_up:
                raise AssertionError(self.node.log.read_text()[-3000:])
            time.sleep(LOOK_S)
        self.sent.append(uid)
        return (accepted - complete).total_seconds() * 1000

    def _accepted(self, uid: str) -> datetime | None:
        """When the archive accepted the last result of a study; None while it has not come to its end."""
        latest = select(func.max(deliveries.c.at)).select_from(_sent())
        mine = (studies.c.study_instance_uid == uid, rounds.c.state == State.FINISHED, deliveries.c.fate.in_(TAKEN))
        with _reading(self.node) as ledger, ledger.reading() as db:
            moment: datetime | None = db.execute(latest.where(*mine)).scalar()
            return moment

    def require_all_there(self) -> None:
        """Whatever is told as accepted of the studies measured is in the archive, report and overlay of each."""
        mine = select(deliveries.c.sop_instance_uid).select_from(_sent())
        with _reading(self.node) as ledger, ledger.reading() as db:
            uids = db.execute(mine.where(studies.c.study_instance_uid.in_(self.sent))).scalars().all()
        there = self.orthanc.received
        lacking = [uid for uid in uids if there[uid] != 1]
        if lacking or len(uids) != 2 * len(self.sent):
            told = f"{len(uids)} results of {len(self.sent)} studies"
            raise AssertionError(f"{told}, of which {len(lacking)} are not in the archive exactly once")


def figures() -> list[Figure]:
    """The median latencies, in milliseconds."""
    alone: list[float] = []
    beside: list[float] = []
    with tempfile.TemporaryDirectory(prefix="cxrnode-bench-") as name, running_orthanc(Path(name)) as orthanc:
        folder = Path(name)
        settings: dict[str, dict[str, object]] = {"log": {"level": "error"}}
        with running_node(folder, orthanc.destination, **settings) as node:
            ward = Ward(node, orthanc, folder)
            ward.latencies(3)  # the first ones warm everything up
            for phase in range(PHASES):
                if phase % 2 == 0:
                    alone += ward.latencies(LIVE_STUDIES)
                else:
                    old = _films(ward.film, folder / f"old-{phase}", OLD_STUDIES)
                    with _replaying(node, old) as running:
                        beside += ward.latencies(LIVE_STUDIES)
                        if running.poll() is not None:
                            raise AssertionError("the replay came to its end before the live studies did")
            _let_wait(ward)
            stat = ward.latencies(STAT_STUDIES, RequestedProcedurePriority="STAT")
            if (left := _count(node, State.READY)) < WAITING:
                raise AssertionError(f"{left} studies wait in the end; wanted {WAITING}")
            ward.require_all_there()
    return [
        Figure.of("latency beyond completion, live", "ms", alone, None, at_most(1000)),
        Figure.of("latency beyond completion, STAT while 500 wait", "ms", stat, alone, at_most(1000), IN_HAND),
        Figure.of("latency beyond completion, live beside a replay", "ms", beside, alone, ratio_at_most(1.2), IN_HAND),
    ]


def _let_wait(ward: Ward) -> None:
    """Send live studies until enough wait: those that will be read meanwhile, and small ones behind them."""
    small = make_cxr(chest_like(96, 80))
    for film, number in ((ward.film, READ_MEANWHILE), (small, WAITING)):
        for _ in range(0, number, BITE):
            ward.node.push(*(_study(film, ward.folder / f"waits-{place}.dcm") for place in range(BITE)))
        give_up = time.monotonic() + PATIENCE_S
        while _count(ward.node, State.ARRIVING):
            if time.monotonic() > give_up:
                raise AssertionError(ward.node.log.read_text()[-3000:])
            time.sleep(LOOK_S)


def _count(node: RunningNode, state: State) -> int:
    with _reading(node) as ledger, ledger.reading() as db:
        mine = (rounds.c.state == state, rounds.c.lane == Lane.LIVE)
        return int(db.execute(select(func.count()).select_from(rounds).where(*mine)).scalar_one())


def _sent() -> object:
    return studies.join(rounds).join(objects).join(deliveries)


@contextmanager
def _reading(node: RunningNode) -> Iterator[Ledger]:
    ledger = Ledger(node.settings.ledger_url)
    try:
        yield ledger
    finally:
        ledger.close()


def _study(film: FileDataset, path: Path, **attributes: object) -> Path:
    uids = {"SOPInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid()}
    return saved(remade(film, **(uids | attributes)), path)


def _films(film: FileDataset, folder: Path, studies: int) -> Path:
    folder.mkdir()
    for number in range(studies):
        _study(film, folder / f"{number}.dcm")
    return folder


@contextmanager
def _replaying(node: RunningNode, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A replay under way; returns when its first studies are at the workers."""
    command = [sys.executable, "-m", "cxrnode.cli", "--config", str(node.config), "replay", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        node.wait_until(lambda told: any(line["state"] == "analysed" for line in told["rounds"]), PATIENCE_S)
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        node.wait_until(lambda told: all(line["state"] == "finished" for line in told["rounds"]), PATIENCE_S)
