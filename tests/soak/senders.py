"""Eight modalities: each sends its studies, one after the other, and each film again until it is answered 0x0000."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from cxrnode.deliver import Sent, send
from cxrnode.errors import PeerUnavailable
from cxrnode.settings.destination import Destination
from tests.soak import films

DUPLICATE, LATE = 0.05, 0.08
"""The share of studies of which a film is sent once more, and of those of more than one film whose last comes late."""
LATE_S = 8.0
PATIENCE_S = 600.0
"""Nobody waits longer than this for an answer of 0x0000, or for a place in the queue."""


@dataclass
class Traffic:
    """What the senders share: how many studies there are to be, and what was acknowledged."""

    studies: int
    most_unfinished: int
    """no sender begins another study while so many are unfinished"""
    receiver: Destination
    folder: Path
    seed: str
    finished: Callable[[], int]
    """how many studies have a finished round"""
    begun: int = 0
    acknowledged: list[Path] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def turns(self) -> Iterator[int]:
        """The numbers of the studies that this sender begins; each study is somebody's."""
        while True:
            with self._turn:
                give_up = time.monotonic() + PATIENCE_S
                while self.begun < self.studies and self.begun - self.finished() >= self.most_unfinished:
                    assert time.monotonic() < give_up, f"{self.begun} studies begun, {self.finished()} finished"
                    time.sleep(0.2)
                if self.begun >= self.studies:
                    return
                self.begun += 1
                number = self.begun
            yield number


def modality(traffic: Traffic, name: str) -> None:
    """Send studies under this AE title until all are sent, and the late films after them."""
    chance = Random(f"{traffic.seed} {name}")
    late: list[tuple[float, Path]] = []
    for number in traffic.turns():
        sent = films.study(chance, traffic.folder, f"{number:05d}")
        if len(sent) > 1 and chance.random() < LATE:
            late.append((time.monotonic() + LATE_S, sent.pop()))
        _until_taken(traffic, name, sent)
        if chance.random() < DUPLICATE:
            _until_taken(traffic, name, [chance.choice(sent)], first=False)
        while late and late[0][0] < time.monotonic():
            _send_late(traffic, name, late.pop(0)[1])
    for due, film in late:
        time.sleep(max(0.0, due - time.monotonic()))
        _send_late(traffic, name, film)


def _send_late(traffic: Traffic, name: str, film: Path) -> None:
    traffic.counted["late films"] += 1
    _until_taken(traffic, name, [film])


def _until_taken(traffic: Traffic, name: str, files: Sequence[Path], *, first: bool = True) -> None:
    """Send files, again and again, as modalities do, until each is answered 0x0000."""
    give_up = time.monotonic() + PATIENCE_S
    left = list(files)
    while left:
        asked = list(left)

        def told(index: int, sent: Sent, asked: list[Path] = asked) -> None:
            if sent.status == 0:
                left.remove(asked[index])
                if first:
                    traffic.acknowledged.append(asked[index])

        with suppress(PeerUnavailable):
            send(asked, traffic.receiver, name, told)
        if left:
            assert time.monotonic() < give_up, f"{name}: no 0x0000 for {left[0].name} in {PATIENCE_S:g} s"
            traffic.counted["films sent again for want of an answer"] += len(left)
            time.sleep(1.0)
    traffic.counted["films acknowledged" if first else "duplicates acknowledged"] += len(files)
