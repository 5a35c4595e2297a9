"""Two hosts with one ledger, one broker and one spool; one of them is cut off for a while, and comes back."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
import tomli_w
from sqlalchemy import text

from cxrnode.commands.status import as_object, look
from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger import Ledger
from cxrnode.ledger.naming import study_key_of
from cxrnode.settings import Settings, load
from cxrnode.spool import Spool
from tests.builders import make_cxr
from tests.hosts import Wire, serve_redis
from tests.invariants import unkept
from tests.nodes import saved
from tests.peers import program
from tests.postgres import Server

PORT, ARCHIVE_PORT, OBJECTS, PATIENCE_S = 11112, 4242, 2, 120.0
PARTS = (["receive"], ["work", "--role", "analyse"], ["work", "--role", "deliver"])


class Cluster:
    """What the test speaks to: the hosts by number, the archive's folder, the ledger as the centre sees it."""

    def __init__(self, wire: Wire, folder: Path, url: str, running: ExitStack) -> None:
        self.wire, self.folder, self.filed, self._url = wire, folder, folder / "filed", url
        self.addresses: dict[int, str] = {}
        self.settings: dict[int, Settings] = {}
        self._running = running

    def add(self, number: int) -> None:
        """A host with a receiver and two workers; its state is its own, its spool is everybody's."""
        self.addresses[number] = self.wire.add(number)
        state = self.folder / f"host{number}"
        state.mkdir(mode=0o700)
        (self.folder / "spool").mkdir(mode=0o700, exist_ok=True)
        (state / "spool").symlink_to(self.folder / "spool")
        tables: dict[str, Any] = {
            "node": {"state_dir": str(state)},
            "receiving": {
                "host": "0.0.0.0",  # noqa: S104  a host that nobody else can reach
                "port": PORT,
                "quiet_s": 1.0,
                "reserve_gb": 0.1,
                "senders": [{"ae_title": "STORESCU", "addresses": [Wire.NETWORK]}],
            },
            "ledger": {"url": self._url},
            "queue": {"broker_url": f"redis://{Wire.CENTRE}:6379/0", "time_limit_s": 14, "lease_s": 15},
            "metrics": {"receiver_port": 0, "analysis_port": 0, "delivery_port": 0},
            "rules": {"gate": "off"},
            "model": {"lungs": ""},
            "delivery": {"first_retry_s": 1.0, "longest_retry_s": 2.0},
            "destinations": [
                {"name": "archive", "ae_title": "ARCHIVE", "host": Wire.CENTRE, "port": ARCHIVE_PORT}
                | {"timeout_s": 5.0, "commitment": "off"}
            ],
        }
        config = self.folder / f"host{number}.toml"
        config.write_text(tomli_w.dumps(tables), encoding="utf-8")
        self.settings[number] = load(config)
        for words in PARTS:
            self._start([sys.executable, "-m", "cxrnode.cli", "--config", str(config), *words], f"host{number}", number)

    def serve_archive(self) -> None:
        """DCMTK's storescp in the centre: a file for each object that it takes, also for one that comes twice."""
        self.filed.mkdir()
        options = ["-aet", "ARCHIVE", "--unique-filenames", "-od", str(self.filed)]
        self._start([program("storescp"), *options, str(ARCHIVE_PORT)], "centre", 0)

    def push(self, film: Path, number: int, *, by: str = "centre") -> None:
        """Send a film to a host's receiver from another, or the same one; it must be accepted."""
        address = self.addresses[number]
        give_up = time.monotonic() + PATIENCE_S
        command = [program("storescu"), "-aec", "CXRNODE", "-to", "10", address, str(PORT), str(film)]
        with self.wire.within(by):
            while (sent := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
                assert time.monotonic() < give_up, sent.stderr + self.logs()
                time.sleep(0.5)

    def wait_until_finished(self, *films: Path) -> dict[str, Any]:
        """Wait until the studies of these films are, as the centre sees it; fails with what the hosts logged."""
        give_up = time.monotonic() + PATIENCE_S
        uids = [str(pydicom.dcmread(film, specific_tags=["StudyInstanceUID"]).StudyInstanceUID) for film in films]
        while True:
            with self.wire.within("centre"):
                ledger = Ledger(self._url)
                told, keys = (
                    as_object(look(ledger, Spool(self.folder / "spool"))),
                    [study_key_of(ledger, uid) for uid in uids],
                )
                ledger.close()
            if {line["study"] for line in told["rounds"] if line["state"] == "finished"} >= set(keys):
                return told
            assert time.monotonic() < give_up, f"{keys}: {told}\n{self.logs()}"
            time.sleep(0.3)

    def logs(self) -> str:
        """The ends of what the hosts logged."""
        return "\n".join(f"{log.name}: {log.read_text()[-2500:]}" for log in sorted(self.folder.glob("host*.log")))

    def _start(self, command: list[str], host: str, number: int) -> None:
        with (self.folder / f"{host}.log").open("ab") as sink, self.wire.within(host):
            process = subprocess.Popen(
                command, stdout=sink, stderr=sink, env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True
            )
        self._running.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """PostgreSQL, Redis and an archive in the centre of a wire, no host yet."""
    with Wire().laid() as wire, ExitStack() as ends:
        with wire.within("centre"):
            server = Server(f"{Wire.CENTRE}/24")
            ends.callback(server.remove)
            server.database("node")
            redis = serve_redis(Wire.CENTRE, folder)
            ends.callback(_end, redis)
        made = Cluster(wire, folder, f"postgresql://cxrnode@{Wire.CENTRE}/node", ends)
        made.serve_archive()
        yield made


@pytest.mark.timeout(600)
def test_a_host_that_is_cut_off_takes_images_and_the_other_goes_on_reading(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Two receivers, four workers, PostgreSQL, Redis and DCMTK's storescp on a wire of their own."""
    record_property("matrix", ("everything", "a host is cut off and comes back", "I1, I2, I3, I5"))
    films = [saved(make_cxr(), tmp_path / f"{number}.dcm") for number in range(7)]
    with cluster(tmp_path) as many:
        many.add(2)
        many.add(3)
        many.push(films[0], 2)
        many.push(films[1], 3)
        many.wait_until_finished(*films[:2])

        many.push(films[2], 3)  # on its disk, its rows, tasks and results wherever they are by now
        many.wire.cut(3)
        many.push(films[3], 2)
        many.push(films[4], 3, by="host3")  # a modality on its side of the cut
        many.wait_until_finished(films[3])
        many.push(films[5], 2)
        apart = many.wait_until_finished(films[5])

        many.wire.mend(3)
        many.push(films[6], 3)
        together = many.wait_until_finished(*films)
        with many.wire.within("centre"):
            assert unkept(many.settings[2], films) == []

    assert apart["received"] >= 5
    assert (together["received"], together["balanced"]) == (7, True)
    filed = [pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID for file in many.filed.iterdir()]
    assert len(filed) == len(set(filed)) == len(films) * OBJECTS


@pytest.mark.timeout(300)
def test_a_statement_that_the_cut_catches_is_given_up_in_time() -> None:
    """One that had reached the server, and whose answer never comes; one that never reaches it.

    Red, after a minute, without `keepalives_idle` (two hours by default) for the first, and without `tcp_user_timeout`
    for the second: keepalives are not sent while bytes wait to be acknowledged, and the kernel would send those again
    for a quarter of an hour. So long a host that was cut off, or whose database had moved, would do nothing.
    """
    with Wire().laid() as wire, ExitStack() as ends:
        with wire.within("centre"):
            server = Server(f"{Wire.CENTRE}/24")
            ends.callback(server.remove)
            server.database("node")
        wire.add(2)
        cut, told = threading.Event(), dict[str, str]()

        def ask(name: str, first: threading.Event) -> None:
            ledger = Ledger(f"postgresql://cxrnode@{Wire.CENTRE}/node?application_name={name}")
            with wire.within("host2"):
                try:
                    with ledger.reading() as db:
                        first.wait()
                        db.execute(text("SELECT pg_sleep(300)"))
                except LedgerUnavailable as error:
                    told[name] = str(error)

        at_once = threading.Event()
        at_once.set()
        asking = [
            threading.Thread(target=ask, args=["sent", at_once], daemon=True),
            threading.Thread(target=ask, args=["unsent", cut], daemon=True),
        ]
        for one in asking:
            one.start()
        working = "SELECT state FROM pg_stat_activity WHERE application_name IN (%s, %s) ORDER BY state"
        while server.execute(working, "sent", "unsent") != [("active",), ("idle in transaction",)]:
            time.sleep(0.2)
        wire.cut(2)
        cut.set()
        give_up = time.monotonic() + 60
        for one in asking:
            one.join(max(0.0, give_up - time.monotonic()))

    assert set(told) == {"sent", "unsent"}, "the others wait still"
    assert all("timed out" in error or "timeout" in error for error in told.values()), told
