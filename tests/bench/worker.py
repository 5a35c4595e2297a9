"""One study from its file to all its objects on the disk beside the textbook; queue and ledger; two workers beside one.

Each part has processes of its own, held to their cores. Ours is what a worker does with a task: lease, read, decode,
gate, model, lungs, objects, fsync, outcome in the ledger. A film is drawn, so the gate is asked but refuses nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import torch
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import JPEG2000Lossless, generate_uid
from sqlalchemy import select

from cxrnode.family import Family
from cxrnode.finding import Outcome
from cxrnode.ledger import arrivals, outcomes, replayed, work
from cxrnode.ledger.outcomes import ReadingRow, RoundResult
from cxrnode.ledger.parcels import ObjectRow
from cxrnode.ledger.states import Lane
from cxrnode.ledger.tables import readings, rounds
from cxrnode.ledger.work import Lease
from cxrnode.study import Study
from models.shelf import Shelf
from tests.bench import textbook
from tests.bench.figures import Figure, at_most, ratio_at_least
from tests.bench.running import FAMILIES, STUDIES, held, pacs, queue, rate, renewed
from tests.bench.timings import in_turn
from tests.builders import chest_like, make_cxr
from tests.desks import HOUR, QUIET_S, T0, open_desk, receive
from workers.analysis import analyse_leased

ROWS, COLUMNS = 2500, 2048
ROUNDS = {"raw": 9, "jpeg2000": 5}
TARGETS = {"raw": ratio_at_least(3), "jpeg2000": ratio_at_least(6)}
NAMES = {"raw": "raw", "jpeg2000": "JPEG 2000"}
SHARED = "beside another a worker takes a tenth more of its core for a study, as both share cache and memory"
"""131 ms alone and 143 beside another, by /proc, of 64 studies"""
CLOSE = 1e-3
SMALL_STUDIES = 200


def figures() -> list[Figure]:
    """Studies a second of one core, what queue and ledger take of a study, and what a second worker adds."""
    return [*(_beside_the_textbook(kind) for kind in ROUNDS), _queue_and_ledger(), _two_workers()]


def _beside_the_textbook(kind: str) -> Figure:
    found = _alone("study", kind)
    ours, reference = ([1 / took for took in found[way]] for way in ("ours", "textbook"))
    besides = "ours has gate, lungs, banners, fsync and ledger besides"
    limit = "two fifths of it are the passes of three networks, where the textbook has one"
    note = f"{ROWS} x {COLUMNS}; {besides}; {limit}; {found['stages']}"
    name = f"worker: one study of one {NAMES[kind]} film, one core, against the textbook"
    return Figure.of(name, "studies/s", ours, reference, TARGETS[kind], note)


def _queue_and_ledger() -> Figure:
    calls = _alone("ledger")["ms"]
    with tempfile.TemporaryDirectory(prefix="cxrnode-bench-") as folder:
        a_task = queue(Path(folder))
    note = f"leases of eight; of these {a_task:.1f} ms are Redis, Celery and a lease that finds nothing, for each study"
    return Figure.of(
        "worker: queue and ledger, a study", "ms", [one + a_task for one in calls], target=at_most(15), note=note
    )


def _two_workers() -> Figure:
    rates: dict[int, list[float]] = {1: [], 2: []}
    made = film("raw")
    for number in range(4):
        processes = 1 + number % 2
        with tempfile.TemporaryDirectory(prefix="cxrnode-bench-") as folder:
            rates[processes].append(rate(made, Path(folder), processes))
    cores = len(os.sched_getaffinity(0))
    note = f"one film of {ROWS} x {COLUMNS} a study, {STUDIES} studies, real Celery and Redis; {cores} cores; {SHARED}"
    return Figure.of(
        "worker: two workers on two cores against one on one",
        "studies/s",
        rates[2],
        rates[1],
        ratio_at_least(1.8),
        note,
    )


def _alone(*words: str) -> dict[str, Any]:
    """What this file tells in a process of its own that has one core and one thread."""
    command = [*held(1), sys.executable, "-m", "tests.bench.worker", *words]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=one_thread)
    if done.returncode:
        raise AssertionError(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def film(kind: str) -> FileDataset:
    """A drawn film of 12 bits in 16."""
    made = make_cxr(chest_like(ROWS, COLUMNS))
    if kind == "jpeg2000":
        made.compress(JPEG2000Lossless, generate_instance_uid=False)
    return made


def study(kind: str) -> dict[str, Any]:
    """Seconds a study of each way, in turn; every round's probabilities and kinds of objects are held equal."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="cxrnode-bench-") as name:
        sides = _Sides(Path(name), kind, ROUNDS[kind] + 1)
        took = in_turn({"ours": sides.ours, "textbook": sides.textbook}, ROUNDS[kind])
        sides.compare()
        return took | {"stages": sides.stages()}


class _Sides:
    """Both ways, each with a new study at every call, and what came of it."""

    def __init__(self, folder: Path, kind: str, studies: int) -> None:

        made = film(kind)
        self.folder, self.written = folder, folder / "textbook"
        self.desk = open_desk(folder, [pacs()], rules={"gate": "warn"})
        for _ in range(studies):
            receive(self.desk, renewed(made))
        self.now = T0 + HOUR
        arrivals.close_settled(self.desk.ledger, QUIET_S, self.now)
        self.tasks = iter(work.due(self.desk.ledger, self.now, {}))
        model = self.desk.settings.model
        shelf = Shelf(None, "cpu", 1, lungs=model.lungs, gate="warn")
        self.model = shelf.reader(model.name)
        self.model.warm()
        self.films = iter([*self.desk.spool.root.glob("instances/*/*/image.dcm")])
        self.written.mkdir()
        self.card, self.read = textbook.reader(model.name)
        self.answer: textbook.Answer | None = None

    def ours(self) -> None:
        """A task, from its lease to the end."""
        held = work.lease(self.desk.ledger, next(self.tasks).task_key, self.now, 600)
        analyse_leased(self.desk, held, lambda _: self.model)

    def textbook(self) -> None:
        """A file, from its path to the end."""
        dataset = textbook.opened(next(self.films))
        greys = textbook.decoded(dataset)
        self.answer = self.read(textbook.resized(greys, self.card))
        textbook.saved(textbook.objects(dataset, greys, self.answer, self.card), self.written)

    def compare(self) -> None:
        """Both found the same, and wrote the same kinds of objects, which pydicom reads; ours for every study."""
        with self.desk.ledger.reading() as db:
            found = [one.probability for one in db.execute(select(readings.c.probability))]
            keys = [one.key for one in db.execute(select(rounds.c.key))]
        if self.answer is None or not all(abs(one - self.answer.probability) <= CLOSE for one in found):
            raise AssertionError(f"ours {found}, the textbook's {self.answer}")
        theirs = sorted(dcmread(path).SOPClassUID for path in self.written.glob("*.dcm"))
        for key in keys:
            folder = self.desk.spool.result(key, "x").parent
            ours = sorted(dcmread(path).SOPClassUID for path in folder.glob("*.dcm"))
            if ours != theirs or len(ours) != len(FAMILIES):
                raise AssertionError(f"ours {ours}, the textbook's {theirs}")

    def stages(self) -> str:
        """Milliseconds a stage of ours, the median study."""
        with self.desk.ledger.reading() as db:
            told = [json.loads(one.stages_ms) for one in db.execute(select(rounds.c.stages_ms))]
        middle = {name: sorted(one[name] for one in told)[len(told) // 2] for name in told[0]}
        return "ms: " + ", ".join(f"{name} {ms:.0f}" for name, ms in middle.items())


def ledger() -> dict[str, Any]:
    """Milliseconds of each study that the ledger takes of one worker: lease, what it covers, outcome and objects."""
    with tempfile.TemporaryDirectory(prefix="cxrnode-bench-") as name:
        desk = open_desk(Path(name), [pacs()])
        made = make_cxr()
        for _ in range(SMALL_STUDIES):
            receive(desk, renewed(made))
        now = T0 + HOUR
        arrivals.close_settled(desk.ledger, QUIET_S, now)
        took, together = [], desk.settings.queue.studies_per_task
        due = [task.task_key for task in work.due(desk.ledger, now, {})]
        for at in range(0, len(due), together):
            begun = time.perf_counter()
            work.submitted(desk.ledger, due[at : at + together], now)
            held = work.lease(desk.ledger, due[at], now, 600, companions={Lane.LIVE: together - 1})
            for lease in held:
                covered = outcomes.study_of(desk.ledger, desk.spool, lease.round_key)
                replayed.order_of(desk.ledger, lease.round_key)
                outcomes.finish_analysis(desk.ledger, lease, _result(lease, covered), now)
            took.append((time.perf_counter() - begun) * 1000 / len(held))
        desk.ledger.close()
    return {"ms": took}


def _result(lease: Lease, covered: Study) -> RoundResult:
    read = [ReadingRow(one.key, Outcome.POSITIVE, "", 0.9) for one in covered.instances]
    rows = [ObjectRow(generate_uid(), "1.2", "1.3", Family(role), role, "0" * 64) for role in FAMILIES]
    sent = {"pacs": [row.sop_instance_uid for row in rows]}
    return RoundResult(Outcome.POSITIVE, read, rows, sent, "m 1", {"read": 1.0}, gist=lease.task_key)


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"study": study, "ledger": ledger}[sys.argv[1]](*sys.argv[2:])) + "\n")
