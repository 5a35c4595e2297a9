"""How long until a command has answered, the receiver takes its first association, and a worker begins its first task.

Each from the start of its process, in turn with what `import torch` costs there, for scale. The worker's first task is
one that waits for it in the queue: it ends when the child has loaded its models and made a pass with each of them.
"""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import tomli_w

from cxrnode import broker
from cxrnode.commands.samples import free_ports
from cxrnode.deliver import echo
from cxrnode.errors import BrokerUnavailable, PeerUnavailable
from cxrnode.jobs import Jobs
from cxrnode.ledger.states import Lane, Work
from cxrnode.ledger.work import Due
from cxrnode.settings import Settings, load
from cxrnode.settings.destination import Destination
from tests.bench.figures import Figure, at_most
from tests.bench.timings import in_turn

ROUNDS = 5
PATIENCE_S = 120.0
LOOK_S = 0.005
IMPORTS = (
    "two fifths are torch's own import, a third the imports of the rest (Celery, SQLAlchemy, pydicom), a tenth "
    "those of torchvision and pytorch_grad_cam, a tenth loading and warming the models"
)
OURS = (sys.executable, "-m", "cxrnode.cli")


def figures() -> list[Figure]:
    """Help, receiver and worker, in seconds, beside an interpreter that imports torch."""
    with tempfile.TemporaryDirectory(prefix="cxrnode-bench-") as name, _broker(Path(name)) as (config, settings):
        torch = partial(_run, (sys.executable, "-c", "import torch"))
        took = in_turn(
            {
                "help": partial(_run, (*OURS, "--help")),
                "receiver": partial(_receiver, config, settings),
                "worker": partial(_worker, config, settings, Path(name) / "worker.log"),
                "torch": torch,
            },
            ROUNDS,
        )
    scale = "the reference, `import torch`, is there for scale"
    return [
        Figure.of("start: `cxrnode --help`", "s", took["help"], took["torch"], at_most(0.4), scale),
        Figure.of("start: receiver, until it answers a C-ECHO", "s", took["receiver"], took["torch"], at_most(2.0)),
        Figure.of(
            "start: worker, until it has ended a first task", "s", took["worker"], took["torch"], at_most(6.0), IMPORTS
        ),
    ]


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _receiver(config: Path, settings: Settings) -> None:
    """Until the first association is answered; nobody speaks to it before it listens."""
    port = settings.receiving.port
    node = Destination(name="node", ae_title=settings.node.ae_title, host="127.0.0.1", port=port)
    with _running((*OURS, "--config", str(config), "receive"), subprocess.DEVNULL):
        give_up = time.monotonic() + PATIENCE_S
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            _wait(give_up, f"nobody listens on port {port}")
        while True:
            try:
                return echo(node, "MODALITY")
            except PeerUnavailable as error:
                _wait(give_up, str(error))


def _worker(config: Path, settings: Settings, log: Path) -> None:
    """Until it has ended a task, which the queue held before it was started, of a study that is not there."""
    jobs = Jobs(settings.broker_url)
    jobs.submit(Due("0" * 32, Work.ANALYSE, Lane.LIVE))
    jobs.close()
    with log.open("wb") as sink, _running((*OURS, "--config", str(config), "work"), sink.fileno()):
        give_up = time.monotonic() + PATIENCE_S
        while b"succeeded" not in log.read_bytes():
            _wait(give_up, log.read_text()[-2000:])


def _wait(give_up: float, what: str) -> None:
    if time.monotonic() > give_up:
        raise AssertionError(what)
    time.sleep(LOOK_S)


@contextmanager
def _running(command: Sequence[str], sink: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=sink, stderr=sink)
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@contextmanager
def _broker(folder: Path) -> Iterator[tuple[Path, Settings]]:
    """The embedded broker of a node with default settings in this folder, and that node's settings."""
    config = folder / "node.toml"
    tables = {"node": {"state_dir": str(folder / "var")}, "receiving": {"port": free_ports(1)[0]}}
    config.write_text(tomli_w.dumps(tables), encoding="utf-8")
    settings = load(config)
    settings.node.run_dir.mkdir(mode=0o700, parents=True)
    with _running(broker.command(settings.node.run_dir), subprocess.DEVNULL):
        jobs, give_up = Jobs(settings.broker_url), time.monotonic() + PATIENCE_S
        while True:
            try:
                jobs.waiting("live")
                break
            except BrokerUnavailable as error:
                _wait(give_up, str(error))
        jobs.close()
        yield config, settings
