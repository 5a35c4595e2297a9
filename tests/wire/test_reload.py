"""The settings are read anew: no association is dropped for it, others may send, and a bad file changes nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from socket import create_server, gethostname
from typing import Any

import pytest
import tomli_w

from cxrnode.commands.samples import free_ports
from cxrnode.commands.status import show
from cxrnode.serving.running import Process, processes
from tests.builders import DX_PRESENTATION
from tests.fuzz import pdus
from tests.fuzz.campaign import settled
from tests.fuzz.hostile import film
from tests.fuzz.targets import Target, receiving

FIRST, SECOND = ({"ae_title": title, "addresses": ["127.0.0.1"]} for title in ("FIRST", "SECOND"))
SOON_S = 20


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with receiving(tmp_path, processes=2, network_timeout_s=30.0, senders=[FIRST]) as made:
        yield made


def rewrite(target: Target, **receiving: object) -> None:
    """Other settings of the table receiving in the file."""
    config = target.folder / "node.toml"
    tables: dict[str, Any] = tomllib.loads(config.read_text(encoding="utf-8"))
    tables["receiving"] |= receiving
    config.write_text(tomli_w.dumps(tables), encoding="utf-8")


def reloaded(target: Target) -> subprocess.CompletedProcess[str]:
    """`cxrnode reload`."""
    command = [sys.executable, "-m", "cxrnode.cli", "--config", str(target.folder / "node.toml"), "reload", "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def listed(target: Target) -> Process:
    """The receiver's process, as it lists itself."""
    (process,) = processes(target.settings)
    return process


def hung_up(target: Target) -> Process:
    """The receiver's process after it has read the settings at a SIGHUP, or refused them."""
    before = listed(target).read_at
    target.process.send_signal(signal.SIGHUP)
    assert settled(lambda: listed(target).read_at != before, SOON_S)
    return listed(target)


def admitted(target: Target, calling: str, port: int = 0) -> bool:
    """Whether an association of this AE title is accepted."""
    with pdus.Peer(port or target.port) as peer:
        return peer.ask(pdus.associate(calling))[0] == pdus.ASSOCIATE_AC


def stored(peer: pdus.Peer, number: int) -> bool:
    """Whether a film is taken over this association."""
    uid, content = film(number)
    return pdus.statuses([peer.ask(pdus.message(pdus.store_command(DX_PRESENTATION, uid), content))]) == [0]


def test_an_association_in_mid_store_survives_and_others_may_send_from_then_on(target: Target) -> None:
    """Red when the acceptors of before are told to end at once, and when the new ones go by the old settings."""
    uid, content = film(1)
    whole = pdus.message(pdus.store_command(DX_PRESENTATION, uid), content)
    with pdus.Peer(target.port) as peer:
        assert peer.ask(pdus.associate("FIRST"))[0] == pdus.ASSOCIATE_AC
        peer.send(whole[:-1000])
        assert not admitted(target, "SECOND")
        before = set(target.pids)
        rewrite(target, senders=[SECOND])

        said = reloaded(target)

        assert (said.returncode, said.stderr) == (0, "")
        (told,) = json.loads(said.stdout)
        assert told == {"what": "receiver", "pid": target.process.pid, "well": True, "told": "goes by the new ones"}
        assert admitted(target, "SECOND")
        assert not admitted(target, "FIRST")
        assert pdus.statuses([peer.ask(whole[-1000:])]) == [0]
        assert stored(peer, 2), "it goes on under the settings that it began with"
        assert before & set(target.pids) > {target.process.pid}, "the process that has it is still there"
        assert peer.ask(pdus.RELEASE)[0] == pdus.RELEASE_RP
    assert settled(lambda: before & set(target.pids) == {target.process.pid}, SOON_S), "and ends with it"
    assert settled(lambda: target.counted() == 2, SOON_S)


def test_what_is_told_while_the_intake_changes_hands_is_entered(target: Target) -> None:
    """Red when the intake that was told to end is taken for one that has died."""
    with pdus.Peer(target.port) as peer:
        assert peer.ask(pdus.associate("FIRST"))[0] == pdus.ASSOCIATE_AC
        for number in range(1, 41):
            if number % 10 == 0:
                target.process.send_signal(signal.SIGHUP)
            assert stored(peer, number)
    assert settled(lambda: target.counted() == 40, SOON_S)
    assert listed(target).fault == ""
    assert "intake ended" not in (target.folder / "node.log").read_text()


@pytest.mark.parametrize(
    ("line", "instead", "why"),
    [
        (r"^\[receiving\]$", "[receiving", "not TOML"),
        (r"^port = .*$", "port = 0", "receiving.port = 0"),
        (r"^url = .*$", 'url = "sqlite:////tmp/other.sqlite"', "ledger.url: receiver runs with"),
    ],
)
def test_a_file_that_is_refused_changes_nothing_and_says_why(target: Target, line: str, instead: str, why: str) -> None:
    """Red when `_read_anew` ends the receiver, or forgets to go back."""
    config, before = target.folder / "node.toml", target.pids
    good = config.read_text(encoding="utf-8")
    config.write_text(re.sub(line, instead, good, flags=re.MULTILINE), encoding="utf-8")

    assert why in hung_up(target).fault
    said = reloaded(target)

    assert said.returncode == 2
    assert why in said.stderr
    assert target.pids == before
    assert admitted(target, "FIRST")
    config.write_text(good, encoding="utf-8")
    assert hung_up(target).fault == ""


def test_another_port_is_opened_before_the_first_is_closed_and_a_taken_one_is_refused(target: Target) -> None:
    """Red when `Threshold.leave` is missed, and when one port at two addresses is not shared for a moment."""
    (other,) = free_ports(1)
    with ExitStack() as held:
        peer = held.enter_context(pdus.Peer(target.port))
        assert peer.ask(pdus.associate("FIRST"))[0] == pdus.ASSOCIATE_AC
        rewrite(target, port=other)
        assert hung_up(target).fault == ""
        assert admitted(target, "FIRST", other)
        assert not target.listens()
        assert stored(peer, 1)
        occupied = held.enter_context(create_server(("127.0.0.1", 0)))
        rewrite(target, port=occupied.getsockname()[1])
        assert "in use" in hung_up(target).fault
        assert admitted(target, "FIRST", other)
        rewrite(target, port=other, host="0.0.0.0")  # noqa: S104  one port, and everywhere
        assert hung_up(target).fault == ""
        assert admitted(target, "FIRST", other)
        assert stored(peer, 2)


def test_who_sits_there_keeps_the_seat_over_it(target: Target) -> None:
    """Red when the seats are made anew."""
    with ExitStack() as held:
        for _ in range(2):
            peer = held.enter_context(pdus.Peer(target.port))
            assert peer.ask(pdus.associate("FIRST"))[0] == pdus.ASSOCIATE_AC
        rewrite(target, max_associations=2)
        assert hung_up(target).fault == ""
        assert not admitted(target, "FIRST")
        rewrite(target, max_associations=3)
        assert hung_up(target).fault == ""
        assert admitted(target, "FIRST")


def test_it_ends_with_all_its_processes_while_some_hold_associations_of_before(target: Target) -> None:
    """Red when `Acceptors.end` forgets those that leave, or the new intake holds their sockets: they are killed."""
    with pdus.Peer(target.port) as peer:
        assert peer.ask(pdus.associate("FIRST"))[0] == pdus.ASSOCIATE_AC
        assert hung_up(target).fault == ""
        log = target.folder / "node.log"
        assert settled(lambda: log.read_text().count("ledger agrees with the disk") == 2, SOON_S), "the next intake"
        all_of_them = target.pids
        target.process.terminate()
        assert target.process.wait(25) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in all_of_them)
    assert '"killed"' not in log.read_text()


def test_status_tells_which_receivers_run(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    further = target.settings.listeners[0].model_copy(update={"name": "plain", "port": 104, "ae_title": "PLAIN"})
    settings = target.settings.model_copy(update={"receivers": (further,)})

    show(settings, as_json=True, limit=1)
    said = capsys.readouterr().out
    told = json.loads(said[said.index("{") :])["receivers"]
    show(settings, as_json=False, limit=1)

    assert [(one["name"], one["ae_title"], one["pid"]) for one in told] == [
        ("receiving", "CXRNODE", target.process.pid),
        ("plain", "PLAIN", None),
    ]
    assert "Receiver plain, PLAIN at 127.0.0.1:104, does not run on this machine." in capsys.readouterr().out


def test_nobody_is_told_where_nobody_runs(tmp_path: Path) -> None:
    with receiving(tmp_path) as target:
        assert [one.what for one in processes(target.settings)] == ["receiver"]
    assert processes(target.settings) == []
    folder, said = target.settings.node.run_dir / "processes", []
    for host in (gethostname(), "another.example"):
        listing = Process("receiver", os.getpid(), "1", 1, host, "")
        (folder / f"{host}-1.json").write_text(json.dumps(vars(listing)), encoding="utf-8")
        said.append(reloaded(target))

    assert [(one.returncode, one.stderr) for one in said] == [(1, ""), (1, "")]
    assert json.loads(said[0].stdout) == [], "the number is another's by now"
    (told,) = json.loads(said[1].stdout)
    assert told["told"] == "runs on another.example, and was not told; wanted the same command there"
