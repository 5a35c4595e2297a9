"""`cxrnode demo`: a node and an archive on loopback, real studies in by C-STORE, results back, shown side by side."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cxrnode.commands import samples
from cxrnode.commands.offline import files_below, group
from cxrnode.commands.show import exhibit, write_index
from cxrnode.deliver import Answer, Sent, echo, send
from cxrnode.errors import CxrNodeError, PeerRefused, PeerUnavailable
from cxrnode.family import MADE_OF
from cxrnode.finding import Outcome
from cxrnode.ledger import Ledger
from cxrnode.ledger.account import account
from cxrnode.ledger.naming import study_key_of
from cxrnode.ledger.roundlines import RoundLine, round_lines
from cxrnode.log import start
from cxrnode.receipt import Receipt
from cxrnode.receive import Receiver
from cxrnode.render import Exhibit
from cxrnode.settings import Receiving, Settings, load
from cxrnode.settings.destination import Destination
from cxrnode.spool import Spool
from cxrnode.stopwatch import STAGES
from cxrnode.study import Study

START_S, WORK_S = 60.0, 600.0
ARCHIVE_AE = "DEMOARCHIVE"
GROUPS = {"open": "decode", "decode": "decode", "gate": "read", "read": "read", "lungs": "read"}
"""of stages in the table's columns; all others of an analysis are of the results"""
COLUMNS = ("decode", "read", "results", "deliver archive")


class Archive:
    """A receiving archive: a Storage SCP that keeps what it is sent in a spool of its own."""

    def __init__(self, root: Path, port: int) -> None:
        self.spool = Spool(root)
        self.receipts: list[Receipt] = []
        self._receiver = Receiver(ARCHIVE_AE, Receiving(port=port), self.spool, self.receipts.append)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen inside."""
        self._receiver.start()
        try:
            yield
        finally:
            self._receiver.stop()

    def objects_of(self, study: Study) -> list[Path]:
        """The files received for a study."""
        kept = {receipt.key for receipt in self.receipts if receipt.study_instance_uid == study.study_instance_uid}
        return [self.spool.image(key) for key in sorted(kept)]


def demo(out: Path, inputs: Sequence[Path], *, as_json: bool) -> bool:
    """Run the demonstration into `out`; whether every study sent is accounted for and every promised object came."""
    start("error")
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="cxrnode-") as scratch:
        files = samples.gather(Path(scratch) / "in") + (files_below(inputs) if inputs else [])
        studies = group(files)
        receiver_port, archive_port, flower_port = samples.free_ports(3)
        archive = Archive(Path(scratch) / "archive", archive_port)
        config = write_settings(Path(scratch), receiver_port, archive_port, flower_port)
        settings = load(config)
        running = node(config, Path(scratch) / "node.log")
        with archive.listening(), running, progress(console, "starting the node") as tell:
            wait_until_up(settings)
            tell(f"sending {len(studies)} studies by C-STORE")
            push(studies, settings)
            lines = wait_for(studies, settings, tell)
        shown = [
            exhibit(study, line, archive.objects_of(study), out) for study, line in zip(studies, lines, strict=True)
        ]
        balanced = account(Ledger(settings.ledger_url), Spool(settings.node.spool_dir)).balanced
    went = "Each study went in by C-STORE; its results came back by C-STORE."
    index = write_index(shown, out, "Studies and what came back", went)
    print_results(shown, index, as_json=as_json)
    return balanced and all(one.accounted for one in shown)


def write_settings(folder: Path, receiver_port: int, archive_port: int, flower_port: int) -> Path:
    """The settings of the demonstration's node: the embedded default, free ports; the archive gets every family."""
    path = folder / "node.toml"
    positive, negative = (json.dumps(MADE_OF[outcome]) for outcome in (Outcome.POSITIVE, Outcome.NEGATIVE))
    path.write_text(
        f"""
        [node]
        state_dir = {str(folder / "state")!r}
        [receiving]
        port = {receiver_port}
        quiet_s = 2.0
        reserve_gb = 0.2
        [flower]
        port = {flower_port}
        [metrics]
        receiver_port = 0
        analysis_port = 0
        delivery_port = 0
        [[destinations]]
        name = "archive"
        ae_title = "{ARCHIVE_AE}"
        host = "127.0.0.1"
        port = {archive_port}
        send = {{ positive = {positive}, negative = {negative} }}
        """,
        encoding="utf-8",
    )
    return path


@contextmanager
def node(config: Path, log: Path) -> Iterator[None]:
    """`cxrnode up` as a process of its own inside; what it logged is shown when something goes wrong."""
    with log.open("wb") as sink:
        command = [sys.executable, "-m", "cxrnode.cli", "--config", str(config), "up"]
        running = subprocess.Popen(command, stdout=sink, stderr=sink)  # noqa: S603  our own command, no shell
        try:
            yield
        except CxrNodeError:
            sys.stderr.write(log.read_text(encoding="utf-8", errors="replace")[-4000:])
            raise
        finally:
            running.terminate()
            running.wait(60)


def wait_until_up(settings: Settings) -> None:
    """Wait until the receiver answers C-ECHO. Raises PeerUnavailable after a minute."""
    give_up = time.monotonic() + START_S
    while True:
        try:
            return echo(_receiver(settings), "DEMO")
        except PeerUnavailable:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.3)


def push(studies: Sequence[Study], settings: Settings) -> None:
    """Send every instance to the node over real associations. Raises PeerRefused when one is not taken."""

    def told(_index: int, sent: Sent) -> None:
        if sent.answer is not Answer.ACCEPTED:
            raise PeerRefused(f"the node did not take an instance: {sent.reason}", sent.status or 0)

    for study in studies:
        send([instance.path for instance in study.instances], _receiver(settings), "DEMO", told)


def wait_for(studies: Sequence[Study], settings: Settings, tell: "Tell") -> list[RoundLine | None]:
    """Wait until every study is finished, and return the ledger's line on each; None where time ran out."""
    ledger = Ledger(settings.ledger_url)
    give_up = time.monotonic() + WORK_S
    while True:
        finished = {line.study: line for line in round_lines(ledger) if line.state == "finished"}
        tell(f"waiting for the results to come back: {len(finished)} of {len(studies)} studies finished")
        if len(finished) >= len(studies) or time.monotonic() > give_up:
            keys = [study_key_of(ledger, study.study_instance_uid) for study in studies]
            ledger.close()
            return [finished.get(key or "") for key in keys]
        time.sleep(0.3)


class Tell:
    """Changes the line that says what the demonstration is doing."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("")

    def __call__(self, what: str) -> None:
        """Say it."""
        self._bar.update(self._task, description=what)


@contextmanager
def progress(console: Console, what: str) -> Iterator[Tell]:
    """A spinner with a clock on standard error."""
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as bar:
        tell = Tell(bar)
        tell(what)
        yield tell


def print_results(shown: Sequence[Exhibit], index: Path, *, as_json: bool) -> None:
    """The table (study, outcome, probability, objects returned, milliseconds by stage), or the same as JSON lines."""
    if as_json:
        for one in shown:
            print(json.dumps(asdict(one)))
        return
    tables = [_grouped(one.stages_ms) for one in shown]
    stages = [column for column in COLUMNS if any(column in told for told in tables)]
    table = Table(
        "study", "outcome", "probability", "objects", *(f"{stage} ms" for stage in stages), title="cxrnode demo"
    )
    for one, told in zip(shown, tables, strict=True):
        probability = "" if one.probability is None else f"{one.probability:.3f}"
        times = (f"{told[stage]:.0f}" if stage in told else "" for stage in stages)
        table.add_row(one.name, one.outcome, probability, str(one.objects), *times)
    console = Console(width=max(118, Console().width))
    console.print(table)
    for one in shown:
        if one.reason:
            console.print(f"{one.name}: {one.reason}")
    console.print(f"source, overlay and report side by side: {index}")


def _grouped(stages_ms: Mapping[str, float]) -> dict[str, float]:
    told: dict[str, float] = {}
    for stage, ms in stages_ms.items():
        column = GROUPS.get(stage, "results") if stage in STAGES else stage
        told[column] = told.get(column, 0.0) + ms
    return told


def _receiver(settings: Settings) -> Destination:
    receiving = settings.receiving
    return Destination(name="node", ae_title=settings.node.ae_title, host=receiving.host, port=receiving.port)
