"""The port of a service: the counts of all its processes, and of those that have ended; each test in a fresh Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxrnode.commands.samples import free_ports
from cxrnode.metrics.files import KINDS, ROOM
from tests.disks import fill, small_disk

BEGUN = """
import os, sys, time, urllib.request
from pathlib import Path
from cxrnode.settings import Settings
from cxrnode.metrics import files
settings = Settings()
number = settings.metrics.receiver_port
files.MEMORY = os.environ["MEMORY"]
files.begin(settings, number)
from cxrnode.metrics import port
port.AGAIN_S = 0.1

def scraped():
    give_up = time.monotonic() + 30
    while True:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{number}/metrics", timeout=5).read().decode()
        except OSError:
            assert time.monotonic() < give_up
            time.sleep(0.05)
"""
COUNTED = """
from cxrnode.metrics import counts
for kind, name in enumerate(["A", "B", "A"]):
    if (pid := os.fork()) == 0:
        counts.accepted(name)
        counts.GPU_HELD.set(100)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
counts.accepted("B")
counts.GPU_HELD.set(7)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    number = str(free_ports(1)[0])
    (memory := tmp_path / "memory").mkdir()
    ours = {"CXRNODE_NODE__STATE_DIR": str(tmp_path / "state"), "CXRNODE_METRICS__RECEIVER_PORT": number}
    ours["MEMORY"] = str(memory)
    return os.environ | ours


def run(code: str, environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_counts_of_processes_that_ended_stay_and_what_they_held_does_not(environment: dict[str, str]) -> None:
    told = run(f"{BEGUN}{COUNTED}\nport.serve('127.0.0.1', number)\nprint(scraped())", environment)

    assert 'cxrnode_associations_total{calling_ae="A"} 2.0' in told
    assert 'cxrnode_associations_total{calling_ae="B"} 2.0' in told
    assert "cxrnode_gpu_memory_held_bytes 7.0" in told


def test_processes_that_ended_leave_one_file_of_each_kind_however_many_they_were(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Red without `fold`: a worker whose child dies every second would leave a hundred gigabytes a day."""
    look = """
counts.LAST.labels("A").set(5)
sums = port.Sums(Path(os.environ[files.VARIABLE]))
def told():
    return sorted((one.name, *one.labels.values(), one.value) for many in sums.collect() for one in many.samples)
before = told()
sums.fold()
sums.fold()
assert told() == before, (told(), before)
"""
    observed = COUNTED.replace(
        "counts.accepted(name)", "counts.accepted(name); counts.PROBABILITY.labels(name).observe(0.3)"
    )
    run(f"{BEGUN}{observed}{look}", environment)

    (folder,) = (tmp_path / "state" / "run" / "metrics").iterdir()
    assert len(list(folder.iterdir())) == 2 * len(KINDS)


def test_files_are_of_the_kinds_whose_room_is_taken_before_and_for_their_owner_alone(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Red when a kind of figure is new and KINDS does not name it: its file would grow while it is written."""
    run(f"{BEGUN}{COUNTED}", environment)

    (folder,) = (tmp_path / "state" / "run" / "metrics").iterdir()
    assert {path.stem.rpartition("_")[0] for path in folder.iterdir()} == set(KINDS)
    assert {path.stat().st_size for path in folder.iterdir()} == {ROOM}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_full_disk_kills_nobody_who_counts(environment: dict[str, str], tmp_path: Path) -> None:
    """Red without `_take_room`: the first write that finds no room ends the process by SIGBUS."""
    with small_disk(tmp_path / "state", 8) as disk:
        code = f"{BEGUN}\nprint('begun', flush=True)\nsys.stdin.readline()\n{COUNTED}\nprint('counted')"
        command = [sys.executable, "-c", code]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, env=environment, text=True, **pipes) as service:  # type: ignore[call-overload]
            assert service.stdout.readline() == "begun\n"
            fill(disk, 0)
            out, _ = service.communicate("\n", timeout=60)

    assert (service.returncode, out.splitlines()[-1]) == (0, "counted")


def test_where_there_is_no_room_at_all_nothing_is_served_and_the_service_goes_on(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "state", 2) as disk:
        fill(disk, 0)
        told = run(
            f"{BEGUN}{COUNTED}\nport.serve('127.0.0.1', number)\nprint(files.VARIABLE in os.environ)", environment
        )

    assert told.splitlines()[-1] == "False"


def test_a_port_that_is_taken_is_had_once_it_is_free(environment: dict[str, str]) -> None:
    """Red when it is tried once: a receiver that follows a killed one would be without figures for ever."""
    taken = "import socket\nother = socket.create_server(('127.0.0.1', number))"
    freed = "port.serve('127.0.0.1', number)\ntime.sleep(0.3)\nother.close()\nprint(scraped())"

    assert 'cxrnode_associations_total{calling_ae="A"} 2.0' in run(f"{BEGUN}{taken}{COUNTED}\n{freed}", environment)


def test_the_folder_of_a_service_that_ended_goes_and_that_of_one_that_lives_stays(
    environment: dict[str, str], tmp_path: Path
) -> None:
    run(BEGUN, environment)
    folders = tmp_path / "state" / "run" / "metrics"
    (left,) = folders.iterdir()

    second = f"{BEGUN}\nmine = os.environ[files.VARIABLE]\nprint(mine, flush=True)\nsys.stdin.readline()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", second], env=environment, text=True, **pipes) as living:  # type: ignore[call-overload]
        mine = Path(living.stdout.readline().strip())
        assert not left.exists()
        run(BEGUN, environment)
        assert mine.exists()
        living.communicate("\n", timeout=60)


def test_without_a_port_nothing_is_written(environment: dict[str, str], tmp_path: Path) -> None:
    run(f"{BEGUN}{COUNTED}", environment | {"CXRNODE_METRICS__RECEIVER_PORT": "0"})

    assert not (tmp_path / "state").exists()
