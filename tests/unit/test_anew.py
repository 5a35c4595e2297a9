"""What a receiver hands over when the settings are read anew: its pipe and its port; and what a SIGHUP means."""

import os
import pty
import signal
import subprocess
import sys
from socket import create_connection

import pytest

from cxrnode.commands.samples import free_ports
from cxrnode.serving import inbox
from cxrnode.serving.inbox import Inbox
from cxrnode.serving.threshold import Threshold
from cxrnode.settings.listener import Listening

HUNG = """
import fcntl, sys, termios, threading
if sys.argv[1] == "terminal":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from cxrnode.serving.anew import on_hangup
said = threading.Event()
word = []
on_hangup(lambda: (word.append("again"), said.set()), lambda: (word.append("stop"), said.set()))
print("ready", file=sys.stderr, flush=True)
said.wait(30)
print(*word, file=sys.stderr, flush=True)
"""


def test_two_readers_of_one_pipe_hear_every_line_once_and_none_by_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when the first reader stops in mid line."""
    monkeypatch.setattr(inbox, "AT_ONCE", 64)
    pipe = Inbox()
    first = [f"line {number} {'x' * (number % 30)}" for number in range(20)]
    then = [f"later {number}" for number in range(20)]
    for line in first:
        pipe.tell(line)
    assert pipe.ask_to_end()
    for line in then:
        pipe.tell(line)

    heard = list(pipe.lines())
    pipe.only_read()
    rest = list(pipe.lines())

    assert heard + rest == first + then
    assert len(heard) < len(first + then)
    pipe.only_tell()


def test_what_does_not_fit_into_the_pipe_is_told_later() -> None:
    """Red when `tell` drops what the pipe has no room for."""
    pipe = Inbox()
    lines = [f"{number:06} {'x' * 200}" for number in range(2000)]
    for line in lines:
        pipe.tell(line)

    heard = pipe.lines()

    assert [next(heard) for _ in lines] == lines
    pipe.only_read()
    pipe.only_tell()


def test_a_port_moves_with_those_who_wait_at_it() -> None:
    """Red when `leave` closes without a look, and when `keep` keeps the new one."""
    one, other = (Listening(port=port) for port in free_ports(2))
    here = Threshold()
    here.open(one)
    waiting = create_connection((one.host, one.port))
    here.open(other)
    with create_connection((other.host, other.port)):
        here.accepted().close()

    left = list(here.leave())

    assert [connection.getpeername() for connection in left] == [waiting.getsockname()]
    with pytest.raises(ConnectionRefusedError):
        create_connection((one.host, one.port))
    here.open(one)
    here.keep()
    with pytest.raises(ConnectionRefusedError):
        create_connection((one.host, one.port))
    with create_connection((other.host, other.port)):
        here.accepted().close()
    here.open(other)
    assert list(here.leave()) == [], "the same place is no move"
    here.close()
    for connection in (waiting, *left):
        connection.close()


@pytest.mark.parametrize(
    ("where", "what", "word"),
    [("terminal", "closes", "stop"), ("terminal", "kill", "again"), ("service", "kill", "again")],
)
def test_a_closed_terminal_ends_a_process_and_a_hangup_by_hand_does_not(where: str, what: str, word: str) -> None:
    """Red when `on_hangup` takes the one for the other."""
    ours, its = pty.openpty()
    command = [sys.executable, "-c", HUNG, where]
    child = subprocess.Popen(command, stdin=its, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stderr is not None
    os.close(its)
    try:
        assert child.stderr.readline() == "ready\n"
        if what == "closes":
            os.close(ours)
        else:
            child.send_signal(signal.SIGHUP)
        assert child.stderr.readline() == f"{word}\n"
    finally:
        child.kill()
        child.wait()
        child.stderr.close()
        if what != "closes":
            os.close(ours)
