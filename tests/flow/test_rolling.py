"""A node of several processes is upgraded one by one while studies come, and taken back; nothing is lost or doubled."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle
from pathlib import Path

import pydicom
import pytest
import tomli_w

from cxrnode import __version__, broker
from cxrnode.commands.samples import free_ports
from cxrnode.deliver import echo
from cxrnode.errors import PeerUnavailable
from cxrnode.ledger.upgrade import REVISIONS
from cxrnode.settings import load
from cxrnode.settings.destination import Destination
from tests.databases import ledger_url
from tests.flow.days import ORTHANC, QUEUE, Day
from tests.house.rooms import PACKAGES, ROOT
from tests.nodes import RunningNode
from tests.orthanc import running_orthanc

LATER, ADDS = "0.2.0", "r1_9999_later"
REVISION = f'''"""What a later version adds: a table, and columns that processes of before do not fill."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "{ADDS}", "{REVISIONS[-1]}"


def upgrade() -> None:
    """To the tables that are written most."""
    op.create_table("later", sa.Column("key", sa.String(32), primary_key=True))
    for table in ("instances", "rounds", "tasks", "deliveries", "objects"):
        op.add_column(table, sa.Column("later", sa.Integer, nullable=False, server_default="7"))
'''
PARTS = {
    "receiver": ["receive"],
    "receiver second": ["receive", "--receiver", "second"],
    "analysis 1": ["work", "--role", "analyse"],
    "analysis 2": ["work", "--role", "analyse"],
    "delivery 1": ["work", "--role", "deliver"],
    "delivery 2": ["work", "--role", "deliver"],
}


class Services:
    """The processes of a node, each by itself, as systemd has them; each is of the version that lies in a folder."""

    def __init__(self, folder: Path) -> None:
        self.config, self.log = folder / "node.toml", folder / "node.log"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, part: str, program: Path) -> None:
        """Start a part, and wait for nothing."""
        command = [sys.executable, "-m", "cxrnode.cli", "--config", str(self.config), *PARTS[part]]
        environment = os.environ | {"PYTHONPATH": str(program), "OMP_NUM_THREADS": "1"}
        with self.log.open("ab") as sink:
            self.processes[part] = subprocess.Popen(
                command, cwd=program, stdout=sink, stderr=sink, env=environment, start_new_session=True
            )

    def stop(self, part: str) -> None:
        """As `systemctl stop` does: what it has in hand is finished."""
        self.processes[part].send_signal(signal.SIGTERM)

    def gone(self, part: str) -> bool:
        """Whether it has ended."""
        return self.processes[part].poll() is not None

    def end(self) -> None:
        """End them all."""
        for part in self.processes:
            self.stop(part)
        for process in self.processes.values():
            process.wait(60)


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """The program in another version, whose ledger has more."""
    folder = tmp_path / "later"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    (folder / "cxrnode" / "ledger" / "migrations" / "versions" / f"{ADDS}.py").write_text(REVISION)
    module = folder / "cxrnode" / "__init__.py"
    module.write_text(module.read_text().replace(f'"{__version__}"', f'"{LATER}"'))
    return folder


@contextmanager
def services(folder: Path) -> Iterator[tuple[Day, Services, list[Destination]]]:
    """A node of separate processes on one broker, with Orthanc; how its two receivers are called."""
    ports = free_ports(2)
    common = {"ae_title": "CXRNODE", "host": "127.0.0.1"}
    with ExitStack() as ends:
        archive = ends.enter_context(running_orthanc(folder, ports[0]))
        destination = archive.destination.model_copy(update=dict(ORTHANC))
        made = Services(folder)
        tables = {
            "node": {"state_dir": str(folder / "state")},
            "ledger": {"url": ledger_url(folder / "state")},
            "receiving": {"port": ports[0], "quiet_s": 1.0, "reserve_gb": 0.1},
            "receivers": [{"name": "second", "port": ports[1]}],
            "queue": QUEUE | {"broker_url": f"redis+socket://{folder / 'state' / 'run' / 'broker.sock'}"},
            "metrics": {"receiver_port": 0, "analysis_port": 0, "delivery_port": 0},
            "rules": {"gate": "off"},
            "model": {"lungs": ""},
            "delivery": {"first_retry_s": 1.0, "longest_retry_s": 4.0},
            "destinations": [destination.model_dump(mode="json")],
        }
        made.config.write_text(tomli_w.dumps(tables))
        settings = load(made.config)
        settings.node.run_dir.mkdir(mode=0o700, parents=True)
        queue = subprocess.Popen(broker.command(settings.node.run_dir))
        ends.callback(queue.wait)
        ends.callback(queue.terminate)
        ends.callback(made.end)
        for part in PARTS:
            made.start(part, ROOT)
        node = RunningNode(made.config, made.log, settings, made.processes["receiver"])
        receivers = [Destination.model_validate({"name": str(port), "port": port} | common) for port in ports]
        day = Day(node, archive, folder)
        for one in receivers:
            day.wait(lambda one=one: answers(one))
        yield day, made, receivers


def answers(receiver: Destination) -> bool:
    with suppress(PeerUnavailable):
        echo(receiver, "MODALITY")
        return True
    return False


@pytest.mark.timeout(600)
def test_processes_of_two_versions_work_side_by_side_and_the_earlier_one_may_come_back(
    tmp_path: Path, later: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every process in turn is ended and started as the other version; a study comes before, meanwhile and after.

    Red where a ledger with a later revision of the same generation is refused (`_lacks` in ledger/upgrade.py): the
    processes that are still of the version of before take in nothing, and those that are taken back do not come up.
    """
    record_property("matrix", ("everything", "another version, process by process, there and back", "I1, I2, I3, I4"))
    with services(tmp_path) as (day, running, receivers):
        asked = cycle(receivers)
        day.push(next(asked), *receivers)
        day.finish()
        for program, parts in ((later, PARTS), (ROOT, ("receiver", "analysis 1", "delivery 1"))):
            for part in parts:
                day.push(next(asked), *receivers)
                running.stop(part)
                day.push(next(asked), *receivers)
                day.wait(lambda part=part: running.gone(part))
                running.start(part, program)
                day.push(next(asked), *receivers)
            for one in receivers:
                day.wait(lambda one=one: answers(one))
            day.finish()
        logged = running.log.read_text()
        filed = [pydicom.dcmread(file, stop_before_pixels=True) for file in day.archive.saved()]
        ended = {part: process.poll() for part, process in running.processes.items()}

    assert ended == dict.fromkeys(PARTS), "all of them run until the end"
    upgraded = [line for line in logged.splitlines() if "ledger upgraded" in line]
    assert sum(ADDS in line for line in upgraded) == 1, upgraded
    assert "ledger newer than this program" in logged
    assert {one.SoftwareVersions[0] for one in filed} == {__version__, LATER}
