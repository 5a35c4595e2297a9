"""Everything on one machine: embedded broker, receiver, workers, Flower; each supervised, all ended together."""

import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cxrnode import broker
from cxrnode.errors import ModelMismatch, SettingsError
from cxrnode.headers.routing import choices
from cxrnode.log import logger
from cxrnode.serving.acceptors import end_with_parent
from cxrnode.serving.anew import on_hangup
from cxrnode.serving.running import WHOLE, present, require_same, started_with
from cxrnode.settings import Settings, load
from cxrnode.settings.options import secret_in
from cxrnode.spool import write_durably
from models.card import find
from models.ensemblecard import card_of
from models.gatecard import check_gate
from models.lungcard import check_lungs

LOG = logger("up")
BROKER = "broker"
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

    def read_anew(self) -> None:
        """Have it read the settings anew, as it knows itself how; the broker has none."""
        if self.process is not None and self.process.poll() is None and self.name != BROKER:
            self.process.send_signal(signal.SIGHUP)

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
        settings.node.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.children = _children(settings)

    def start(self) -> None:
        """Start every child; each waits for what it needs by itself."""
        for child in self.children:
            child.start()

    def read_anew(self, settings: Settings) -> None:
        """Have every child read the settings anew; end those that are not wanted any more, start those that are new."""
        wanted = _children(settings)
        there = {child.name: child for child in self.children if child.command in [one.command for one in wanted]}
        for child in reversed(self.children):
            if child.name not in there:
                child.end()
        self.children = [there.get(child.name, child) for child in wanted]
        for child in self.children:
            if child.name in there:
                child.read_anew()
            else:
                child.start()

    def keep_up(self) -> None:
        """Start again whatever has ended."""
        for child in self.children:
            child.keep_up()

    def end(self) -> None:
        """End every child, last started first."""
        for child in reversed(self.children):
            child.end()


def _children(settings: Settings) -> list[Child]:
    """What a node with these settings consists of, in the order of starting."""
    ours = [sys.executable, "-m", "cxrnode.cli"]
    children = [] if settings.queue.broker_url else [Child(BROKER, broker.command(settings.node.run_dir))]
    children.append(Child("receiver", [*ours, "receive"]))
    children += [Child(one.called, [*ours, "receive", "--receiver", one.name]) for one in settings.receivers]
    children += [
        Child("analysis worker", [*ours, "work", "--role", "analyse"]),
        Child("delivery worker", [*ours, "work", "--role", "deliver"]),
    ]
    return [*children, Child("flower", [*ours, "flower"])] if settings.flower.enabled else children


def up(settings: Settings) -> None:
    """Run a whole node until SIGTERM or SIGINT; SIGHUP has all of it read the settings anew.

    Raises ModelMismatch before starting anything.
    """
    require_models(settings)
    asked: list[str] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.append("end"))
    on_hangup(lambda: asked.append("anew"), lambda: asked.append("end"))
    node = Node(settings)
    with present(settings, WHOLE) as presence:
        node.start()
        try:
            while "end" not in asked:
                if asked:
                    asked.remove("anew")
                    presence.heard(_read_anew(node, settings), datetime.now(UTC))
                node.keep_up()
                time.sleep(0.2)
        finally:
            node.end()


def require_models(settings: Settings) -> None:
    """Raises ModelMismatch where the weights are not those on the cards."""
    for choice in choices(settings):
        card_of(find(choice.model, settings.model.zoo)).algorithm(choice.prevalence)
    check_gate(settings.rules.gate, settings.model.zoo)
    check_lungs(settings.model.lungs, settings.model.zoo)


def _read_anew(node: Node, before: Settings) -> str:
    """Why the settings were refused; empty: every child was told."""
    try:
        settings = load()
        require_same(started_with(before), started_with(settings), WHOLE)
        require_models(settings)
        node.read_anew(settings)
    except (SettingsError, ModelMismatch) as error:
        LOG.error("settings refused", reason=str(error))
        return str(error)
    LOG.info("settings read anew")
    return ""


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
