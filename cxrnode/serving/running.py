"""Which processes of this node run on this machine: each has a file in the run folder as long as it lives."""

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cxrnode.errors import SettingsError
from cxrnode.log import logger
from cxrnode.settings import Settings
from cxrnode.settings.listener import Listener
from cxrnode.whole import written_whole

LOG = logger("running")
WHOLE = "node"
"""What `cxrnode up` is called, which tells its own children."""


@dataclass(frozen=True)
class Process:
    """One of them, as its file says; `fixed` are digests of settings that take a new start."""

    what: str
    pid: int
    began: str
    """by the kernel's clock: a pid is given to another one day"""
    parent: int
    host: str
    space: str
    """this boot of this machine, and this container: where the pid means something"""
    fixed: dict[str, str] = field(default_factory=dict)
    read_at: str = ""
    """when it read the settings last, or refused to (UTC, ISO 8601)"""
    fault: str = ""
    """why it refused them"""


class Presence:
    """The file of this process; where it cannot be written the process goes on, and is not found."""

    def __init__(self, folder: Path, process: Process) -> None:
        self._file, self._process = folder / f"{process.host}-{process.pid}.json", process
        self._write()

    def heard(self, fault: str, now: datetime) -> None:
        """The settings were read, or refused for a reason."""
        self._process = replace(self._process, read_at=now.isoformat(), fault=fault)
        self._write()

    def end(self) -> None:
        """It ends."""
        with suppress(OSError):
            self._file.unlink()

    def _write(self) -> None:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with written_whole(self._file) as file:
                json.dump(asdict(self._process), file)
        except (OSError, SettingsError) as error:
            LOG.warning("process not listed", reason=type(error).__name__)


@contextmanager
def present(settings: Settings, what: str, **fixed: str) -> Iterator[Presence]:
    """This process is listed within, with further settings that take a new start."""
    pid = os.getpid()
    began = Process(
        what, pid, _began(pid), os.getppid(), socket.gethostname(), _space(), started_with(settings) | fixed
    )
    presence = Presence(_folder(settings), began)
    try:
        yield presence
    finally:
        if os.getpid() == pid:
            presence.end()


def processes(settings: Settings) -> list[Process]:
    """Those that live, those of other machines and containers too; files of those that have died here go."""
    found = []
    for file in sorted(_folder(settings).glob("*.json")):
        with suppress(OSError, ValueError, TypeError):
            process = Process(**json.loads(file.read_text(encoding="utf-8")))
            if is_elsewhere(process) or _began(process.pid) == process.began:
                found.append(process)
            else:
                file.unlink()
    return found


def receivers(settings: Settings) -> list[dict[str, object]]:
    """Each receiver of the settings, and the process that it is on this machine; None: none."""
    here = {one.what: one.pid for one in processes(settings) if not is_elsewhere(one)}
    return [
        {"name": one.name, "ae_title": one.ae_title, "host": one.host, "port": one.port, "tls": bool(one.tls)}
        | {"pid": here.get(one.called)}
        for one in settings.listeners
    ]


def is_elsewhere(process: Process) -> bool:
    """Whether it runs on another machine, or in another container."""
    return process.space != _space() and process.host != socket.gethostname()


def started_with(settings: Settings) -> dict[str, str]:
    """The settings that no process changes while it runs, as digests: an address may have a password."""
    values = {"node.state_dir": str(settings.node.state_dir.absolute()), "ledger.url": settings.ledger_url}
    return {name: digest(value) for name, value in values.items()}


def metrics_of(settings: Settings, listener: Listener) -> dict[str, str]:
    """Likewise of a receiver."""
    return {"metrics_port": digest(f"{settings.metrics.host}:{listener.metrics_port}")}


def digest(value: str) -> str:
    """What tells one value from another."""
    return hashlib.sha256(value.encode()).hexdigest()[:16]


def require_same(before: dict[str, str], now: dict[str, str], whose: str) -> None:
    """Raise SettingsError where a setting has changed that takes a new start."""
    if changed := [name for name in before if name in now and before[name] != now[name]]:
        raise SettingsError(f"{', '.join(changed)}: {whose} runs with another; this takes a new start of the node")


def _folder(settings: Settings) -> Path:
    return settings.node.run_dir / "processes"


def _began(pid: int) -> str:
    """When it was started, in ticks since the machine was; empty where there is none such."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _space() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""
