"""How long live results take beyond completion, with and without a replay beside them, in turn in one run.

A study's latency is the time from when it counted as complete to when the archive had taken its last result; quiet time
is a setting, and no part of it. The node is whole (`cxrnode up`, the default model, one worker of each kind), the
archive a real Orthanc. Live studies come one at a time, at moments drawn by chance, so that they meet the replay's work
at every place; phases with and without the replay take turns.
"""

import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid
from sqlalchemy import select

from cxrnode.ledger import Ledger
from cxrnode.ledger.replayed import of_replay
from cxrnode.ledger.tables import State, rounds
from tests.bench.figures import Figure, ratio_at_most
from tests.builders import chest_like, make_cxr, remade
from tests.nodes import RunningNode, running_node, saved
from tests.orthanc import running_orthanc

PHASES, LIVE_STUDIES, OLD_STUDIES, SEED = 6, 10, 200, 20261121
ROWS, COLUMNS = 2048, 1792
TARGET = 1.2
PATIENCE_S = 120.0


def figures() -> list[Figure]:
    """The median latency with a replay, beside that without."""
    chance = random.Random(SEED)
    alone: list[float] = []
    beside: list[float] = []
    with tempfile.TemporaryDirectory(prefix="cxrnode-bench-") as name, running_orthanc(Path(name)) as orthanc:
        folder = Path(name)
        film = make_cxr(chest_like(ROWS, COLUMNS))
        with running_node(folder, orthanc.destination, log={"level": "error"}) as node:
            _live(node, film, folder, chance, studies=3)  # the first ones warm everything up
            for phase in range(PHASES):
                if phase % 2 == 0:
                    alone += _live(node, film, folder, chance)
                else:
                    old = _old(film, folder / f"old-{phase}", OLD_STUDIES)
                    with _replaying(node, old) as running:
                        beside += _live(node, film, folder, chance)
                        if running.poll() is not None:
                            raise AssertionError("the replay came to its end before the live studies did")
    for told, ms in (("alone", alone), ("beside a replay", beside)):
        low, middle, high = statistics.quantiles(ms, n=4)
        sys.stdout.write(f"live, {told}: median {middle:.0f} ms, quartiles {low:.0f} to {high:.0f}, n = {len(ms)}\n")
    return [Figure.of("live latency after completion, beside a replay", "ms", beside, alone, ratio_at_most(TARGET))]


def _live(
    node: RunningNode, film: FileDataset, folder: Path, chance: random.Random, studies: int = LIVE_STUDIES
) -> list[float]:
    """So many live studies, one after another; milliseconds from completion to the last result taken."""
    before = _finished(node)
    for _ in range(studies):
        time.sleep(chance.uniform(0.0, 2.0))
        done = len(_finished(node))
        node.push(_study(film, folder / "live.dcm"))
        give_up = time.monotonic() + PATIENCE_S
        while len(_finished(node)) == done:
            if time.monotonic() > give_up:
                raise AssertionError(node.log.read_text()[-3000:])
            time.sleep(0.1)
    return [ms for key, ms in _finished(node).items() if key not in before]


def _finished(node: RunningNode) -> dict[str, float]:
    """The live rounds that have come to their end, and how many milliseconds after they were closed."""
    ledger = Ledger(node.settings.ledger_url)
    wanted = (rounds.c.state == State.FINISHED, ~of_replay(rounds.c.key))
    with ledger.reading() as db:
        rows = db.execute(select(rounds.c.key, rounds.c.closed_at, rounds.c.finished_at).where(*wanted)).all()
    ledger.close()
    return {row.key: (row.finished_at - row.closed_at).total_seconds() * 1000 for row in rows}


def _study(film: FileDataset, path: Path) -> Path:
    return saved(remade(film, SOPInstanceUID=generate_uid(), StudyInstanceUID=generate_uid()), path)


def _old(film: FileDataset, folder: Path, studies: int) -> Path:
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
