"""How fast images are received: `cxrnode receive`, durable before Success, beside peers that do not wait for the disk.

Each peer with its defaults and with TCP_NODELAY=1 (DCMTK's variable, in its own environment and the sender's). The
sender is DCMTK's storescu for all, a process an association: it takes about a millisecond for 0.5 MB, and none of the
receivers less. What was sent is looked for on the node's disk with its SHA-256 after each turn of ours.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import tomli_w
from pydicom.uid import generate_uid

from cxrnode.commands.samples import free_ports
from cxrnode.receipt import Receipt
from cxrnode.settings import load
from cxrnode.spool import Spool
from tests.bench.figures import Figure, Target, ratio_at_least, ratio_at_most
from tests.builders import make_cxr, remade
from tests.invariants import not_on_disk
from tests.nodes import beneath, saved
from tests.orthanc import running_orthanc
from tests.peers import program

MEGABYTE = 1_000_000
PATIENCE_S = 60.0
NODELAY = {"TCP_NODELAY": "1"}
Folders = Sequence[Path]


@dataclass(frozen=True)
class Listening:
    """A receiver that is ready; `check` fails where something that was sent is not there."""

    port: int
    check: Callable[[Folders], None] = lambda _sent: None
    pid: int = 0


Server = Callable[[Path, Mapping[str, str]], AbstractContextManager[Listening]]


@dataclass(frozen=True)
class Load:
    """So many senders at once, each with so many images of one size."""

    senders: int
    megabytes: float
    images: int

    def __str__(self) -> str:
        return f"{self.senders} sender{'s' if self.senders > 1 else ''} of {self.megabytes:g} MB"

    @property
    def total(self) -> int:
        """Images in all."""
        return self.senders * self.images

    def made(self, folder: Path) -> Folders:
        """Its files, a folder for each sender."""
        side = int((self.megabytes * MEGABYTE / 2) ** 0.5)
        film = make_cxr(np.random.default_rng(side).integers(0, 4096, (side, side), dtype=np.uint16))
        folders = [folder / f"{self} {number}" for number in range(self.senders)]
        for one in folders:
            one.mkdir()
            for number in range(self.images):
                uids = {"SOPInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid()}
                saved(remade(film, **uids), one / f"{number}.dcm")
        return folders


SMALL, FOUR, SIXTEEN = Load(1, 0.5, 100), Load(4, 10, 5), Load(16, 10, 2)
ROUNDS = 3
FLAT = ratio_at_most(1.1)


@contextmanager
def ours(folder: Path, environment: Mapping[str, str]) -> Iterator[Listening]:
    """The whole receiver; studies stay open, so that nothing is analysed."""
    (port,) = free_ports(1)
    config = folder / "node.toml"
    receiving = {"port": port, "reserve_gb": 0.1, "quiet_s": 3600.0}
    config.write_text(tomli_w.dumps({"node": {"state_dir": str(folder / "state")}, "receiving": receiving}))
    spool_dir = load(config).node.spool_dir

    def check(sent: Folders) -> None:
        if missing := list(not_on_disk(Spool(spool_dir), [file for one in sent for file in one.iterdir()])):
            raise AssertionError(missing[0])

    command = [sys.executable, "-m", "cxrnode.cli", "--config", str(config), "receive"]
    with _running(command, port, folder, environment) as process:
        yield Listening(port, check, process.pid)


@contextmanager
def storescp(folder: Path, environment: Mapping[str, str]) -> Iterator[Listening]:
    """DCMTK's, a process for each association: without `--fork` senders would wait for one another."""
    (port,) = free_ports(1)
    with _running([program("storescp"), "--fork", "-od", str(folder), str(port)], port, folder, environment):
        yield Listening(port)


@contextmanager
def orthanc(folder: Path, environment: Mapping[str, str]) -> Iterator[Listening]:
    """A real one, as it comes but for the folder and the ports; it takes images from anybody."""
    taking = {"DicomAlwaysAllowStore": True, "DicomCheckCalledAet": False, "LuaScripts": []}
    with patch.dict(os.environ, environment), running_orthanc(folder, **taking) as running:
        yield Listening(running.dicom_port)


@contextmanager
def pynetdicom(folder: Path, environment: Mapping[str, str]) -> Iterator[Listening]:
    """Its own storescp; it takes ten associations."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "pynetdicom", "storescp", str(port), "-od", str(folder)]
    with _running(command, port, folder, environment):
        yield Listening(port)


BUSY = (
    "both cores are busy all the while: of 37 ms of processor time an image the receiver has 25 (10 in the kernel, "
    "7 for SHA-256, 4 for its third of an association), the senders 12"
)
"""Measured by getrusage and /proc, with TCP_NODELAY=1."""


def figures() -> list[Figure]:
    """Rates beside those of three peers, the memory of a large image beside a small one's, and the disk alone."""
    servers = {"ours": ours, "DCMTK storescp": storescp, "Orthanc": orthanc, "pynetdicom storescp": pynetdicom}
    with tempfile.TemporaryDirectory(prefix="cxrnode-bench-") as name:
        folder = Path(name)
        disk = _disk(folder, SMALL), _disk(folder, FOUR)
        limit = (
            f"this disk fsyncs {disk[0]:.0f} files of 0.5 MB a second one after another, and {disk[1]:.0f} of 10 MB; "
            f"the spool alone stores {_spool_alone(folder):.0f} images of 0.5 MB a second from one thread"
        )
        found = []
        for how, environment in (("as they come", {}), ("TCP_NODELAY=1", NODELAY)):
            for load_ in (SMALL, FOUR, SIXTEEN):
                known = {n: s for n, s in servers.items() if load_.senders <= 10 or n != "pynetdicom storescp"}
                rates = _in_turn(known, environment, load_, folder)
                told = ", ".join(f"{one} {statistics.median(values):.1f}" for one, values in rates.items())
                sys.stdout.write(f"{load_}, {how}, images/s: {told}\n")
                sys.stdout.flush()
                for peer in list(rates)[1:]:
                    target = _target(load_, peer, how)
                    title = f"receiving: {load_}, beside {peer}, {how}"
                    note = f"{limit}; {BUSY}" if load_ is SIXTEEN else limit
                    found.append(Figure.of(title, "images/s", rates["ours"], rates[peer], target, note))
        return [*found, _memory(folder)]


def _target(load_: Load, peer: str, how: str) -> Target | None:
    if peer == "pynetdicom storescp":
        return None
    if load_ is SMALL:
        if how == "as they come":
            return ratio_at_least(5)
        return ratio_at_least(1) if peer == "DCMTK storescp" else None
    return ratio_at_least(1 if peer == "DCMTK storescp" else 2)


def _in_turn(
    servers: Mapping[str, Server], environment: Mapping[str, str], load_: Load, folder: Path
) -> dict[str, list[float]]:
    """Images a second of each server in each round, A B A B; each turn with a server that has nothing yet.

    What they keep is deleted after the last: ext4 gives a deleted inode to nobody for 5 s, and looks long for another.
    """
    rates: dict[str, list[float]] = {name: [] for name in servers}
    with tempfile.TemporaryDirectory(dir=folder) as films:
        sent = load_.made(Path(films))
        for number in range(ROUNDS):
            for name, server in servers.items():
                (at := Path(films) / f"{name} {number}" / "server").mkdir(parents=True)
                os.sync()  # what another has left to the disk to write is not this one's
                with server(at, environment) as listening:
                    rates[name].append(load_.total / _sent_s(listening.port, sent, environment))
                    listening.check(sent)
    return rates


def _sent_s(port: int, folders: Folders, environment: Mapping[str, str]) -> float:
    """Seconds until every sender has ended, all answered with Success."""
    environ = {**os.environ, **environment}
    begun = time.perf_counter()
    where = ["-aec", "CXRNODE", "+sd", "127.0.0.1", str(port)]
    commands = [
        [program("storescu"), "-aet", f"SENDER{number}", *where, str(one)] for number, one in enumerate(folders)
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    senders = [subprocess.Popen(command, env=environ, **pipes) for command in commands]
    told = [sender.communicate(timeout=PATIENCE_S)[0] for sender in senders]
    took = time.perf_counter() - begun
    if any(sender.returncode for sender in senders):
        raise AssertionError(b"".join(told)[-2000:].decode(errors="replace"))
    return took


def _memory(folder: Path) -> Figure:
    """The most that was resident in one of the receiver's processes after an image of 100 MB, beside one of 1 MB."""
    most = []
    for megabytes in (1, 100):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            (at := Path(place) / "server").mkdir()
            sent = Load(1, megabytes, 1).made(Path(place))
            with ours(at, {}) as listening:
                _sent_s(listening.port, sent, {})
                listening.check(sent)
                most.append(max(_most_mb(pid) for pid in (listening.pid, *beneath(listening.pid))))
    return Figure.of("receiving: most memory, an image of 100 MB beside one of 1 MB", "MB", most[1:], most[:1], FLAT)


def _most_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _spool_alone(folder: Path) -> float:
    """Images of 0.5 MB a second that one thread stores as the receiver does, without a network and a check."""
    content, count = os.urandom(MEGABYTE // 2), 100
    spool = Spool(folder / "spool")
    spool.lay_out()
    empty = Receipt(**dict.fromkeys((one.name for one in fields(Receipt) if one.default is MISSING), ""))
    begun = time.perf_counter()
    for _ in range(count):
        spool.store(content, replace(empty, key=spool.key_for(generate_uid())))
    return count / (time.perf_counter() - begun)


def _disk(folder: Path, load_: Load) -> float:
    """Files of this size a second, each written and fsynced before the next."""
    content, count = os.urandom(int(load_.megabytes * MEGABYTE)), 20
    path = folder / "disk"
    begun = time.perf_counter()
    for _ in range(count):
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    return count / (time.perf_counter() - begun)


@contextmanager
def _running(
    command: Sequence[str], port: int, folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder.parent / "log").open("wb") as log:
        environ = {**os.environ, **environment}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ, cwd=folder)
    try:
        _wait_for(port)
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _wait_for(port: int) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            time.sleep(0.3)  # until it has done with this connection
            return
