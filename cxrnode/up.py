"""Everything on one machine: embedded broker, receiver, workers, Flower; each supervised, all ended together."""

import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cxrnode import broker
from cxrnode.acceptors import end_with_parent
from cxrnode.log import logger
from cxrnode.options import secret_in
from cxrnode.routing import choices
from cxrnode.settings import Settings
from cxrnode.spool import write_durably
from models.card import find
from models.ensemblecard import card_of
from models.gatecard import check_gate
from models.lungcard import check_lungs

LOG = logger("up")
GRACE_S = 20.0
SOON_S = 5.0
"""A child that ends sooner than this after its start is started again only after as long."""


@dataclass
class Child:
    """One supervised process."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = field(default=0.0)

    def start(self) -> None:
        """Start it; if this supervisor is killed, the kernel ends it as well (prctl(2), Linux)."""
        self.process = subprocess.Popen(  # noqa: S603  our own commands, no shell
            self.command,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone
            preexec_fn=partial(end_with_parent, signal.SIGTERM),  # noqa: PLW1509  no threads here
        )
        self.started = time.monotonic()
        LOG.info("started", child=self.name, pid=self.process.pid)

    def keep_up(self) -> None:
        """Start it again when it has ended, but not at once when it ended at once."""
        if self.process is None or self.process.poll() is None or time.monotonic() - self.started < SOON_S:
            return
        LOG.error("ended", child=self.name, status=self.process.returncode)
        self.start()

    def end(self) -> None:
        """SIGTERM, then after a grace SIGKILL; by pid, and waited for."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            LOG.warning("killed", child=self.name, pid=self.process.pid)
            self.process.kill()
            self.process.wait()


class Node:
    """The processes of a whole node, in the order of starting; they end in the opposite order."""

    def __init__(self, settings: Settings) -> None:
        run_dir = settings.node.run_dir
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours = [sys.executable, "-m", "cxrnode.cli"]
        self.children = []
        if not settings.queue.broker_url:
            self.children.append(Child("broker", broker.command(run_dir)))
        self.children.append(Child("receiver", [*ours, "receive"]))
        for one in settings.receivers:
            self.children.append(Child(one.called, [*ours, "receive", "--receiver", one.name]))
        self.children.append(Child("analysis worker", [*ours, "work", "--role", "analyse"]))
        self.children.append(Child("delivery worker", [*ours, "work", "--role", "deliver"]))
        if settings.flower.enabled:
            self.children.append(Child("flower", [*ours, "flower"]))

    def start(self) -> None:
        """Start every child; each waits for what it needs by itself."""
        for child in self.children:
            child.start()

    def keep_up(self) -> None:
        """Start again whatever has ended."""
        for child in self.children:
            child.keep_up()

    def end(self) -> None:
        """End every child, last started first."""
        for child in reversed(self.children):
            child.end()


def up(settings: Settings) -> None:
    """Run a whole node until SIGTERM or SIGINT. Raises ModelMismatch before starting anything."""
    for choice in choices(settings):
        card_of(find(choice.model, settings.model.zoo)).algorithm(choice.prevalence)
    check_gate(settings.rules.gate, settings.model.zoo)
    check_lungs(settings.model.lungs, settings.model.zoo)
    asked = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.append(True))
    node = Node(settings)
    node.start()
    try:
        while not asked:
            node.keep_up()
            time.sleep(0.2)
    finally:
        node.end()


def flower_password(settings: Settings) -> str:
    """The password of the operators' page: the one set, else one generated into a file of mode 0600.

    Raises SettingsError where the file that was set cannot be read.
    """
    if settings.flower.password_file:
        return secret_in(settings.flower.password_file, "flower.password_file")
    if settings.flower.password:
        return settings.flower.password
    path: Path = settings.node.run_dir / "flower-password"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably({path: secrets.token_urlsafe(18).encode()})
    return path.read_text(encoding="ascii").strip()
