"""The receiver's processes among themselves: one that is stopped or hears nonsense costs no image."""

import os
import signal
from pathlib import Path

from tests.builders import DX_PRESENTATION
from tests.fuzz import pdus
from tests.fuzz.campaign import settled
from tests.fuzz.hostile import film
from tests.fuzz.targets import Target, receiving

MANY = 300
"""Receipts; a pipe holds less than half of them."""


def intake(target: Target) -> int:
    """The process that keeps the ledger: the one that holds the reading end of the pipe of receipts."""
    pid = target.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return next(int(child) for child in children if inbox(int(child)))


def inbox(pid: int) -> list[Path]:
    """The reading ends of pipes that a process holds, but for what it was started with."""
    handles = [one for one in Path(f"/proc/{pid}/fd").iterdir() if int(one.name) > 2]
    pipes = [one for one in handles if str(one.readlink()).startswith("pipe:")]
    return [one for one in pipes if not int(_flags(pid, one.name), 8) & os.O_ACCMODE]


def _flags(pid: int, handle: str) -> str:
    lines = Path(f"/proc/{pid}/fdinfo/{handle}").read_text(encoding="ascii").splitlines()
    return next(line.split()[1] for line in lines if line.startswith("flags:"))


def test_an_intake_that_does_not_listen_keeps_no_image_waiting_and_hears_of_all_later(tmp_path: Path) -> None:
    """Seen red: the pipe was full after some 100 receipts, and no image was acknowledged any more."""
    with receiving(tmp_path) as target:
        deaf = intake(target)
        os.kill(deaf, signal.SIGSTOP)
        with pdus.Peer(target.port) as peer:
            peer.ask(pdus.associate())
            films = (film(number) for number in range(1, MANY + 1))
            stores = (pdus.message(pdus.store_command(DX_PRESENTATION, uid), content) for uid, content in films)
            assert all(pdus.statuses([peer.ask(store)]) == [0] for store in stores)
        os.kill(deaf, signal.SIGCONT)

        assert settled(lambda: target.counted() == MANY, 30)


def test_an_intake_that_hangs_does_not_keep_the_receiver_from_its_end(tmp_path: Path) -> None:
    """Seen red: the receiver waited for it for ever."""
    with receiving(tmp_path) as target:
        assert target.serves()
        os.kill(intake(target), signal.SIGSTOP)  # `receiving` tells it to end, and waits for 30 s


def test_an_intake_that_hears_nonsense_ends_and_with_it_the_receiver(tmp_path: Path) -> None:
    """Seen red: its ear died alone; the ledger learned of nothing more, and nobody was told."""
    with receiving(tmp_path) as target:
        (pipe,) = inbox(intake(target))
        with pipe.open("wb", buffering=0) as end:
            end.write(b"{nonsense\n")
        target.process.wait(30)
        assert target.process.returncode != 0
        target.process.returncode = 0  # `receiving` looks at it once more
