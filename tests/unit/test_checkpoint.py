"""A reactor that is told to rest looks at nothing until it is let go on."""

import sys
import threading
from collections.abc import Iterator

import pytest

from cxrnode.peers.checkpoint import Checkpoint


@pytest.fixture(autouse=True)
def _turns_come_quickly() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_a_reactor_that_was_told_to_rest_looks_at_nothing() -> None:
    """Red with a plain Event, and without the wait in `clear`."""
    looks, ended = [0], threading.Event()

    def react() -> None:
        while not ended.is_set():
            checkpoint.wait()
            looks[0] += 1

    reactor = threading.Thread(target=react)
    checkpoint = Checkpoint(reactor)
    reactor.start()
    for _ in range(300):
        checkpoint.clear()
        before = looks[0]
        sum(range(3000))  # while it could look
        assert looks[0] == before
        checkpoint.set()
    ended.set()
    checkpoint.set()
    reactor.join()


def test_nobody_waits_for_a_reactor_that_has_ended_and_no_reactor_for_itself() -> None:
    reactor = threading.Thread(target=lambda: checkpoint.clear())  # noqa: PLW0108  made below
    checkpoint = Checkpoint(reactor)
    reactor.start()
    reactor.join(10)
    assert not checkpoint.is_set()

    checkpoint.clear()
    assert not checkpoint.wait(0.01)
