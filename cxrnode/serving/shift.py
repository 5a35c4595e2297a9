"""A process of the node at its work: the audit trail is told when it begins and when it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from cxrnode.audit.recorder import Recorder
from cxrnode.settings import Settings


@contextmanager
def at_work(settings: Settings, what: str) -> Iterator[None]:
    """What is done within is the work of the process that is called `what`."""
    recorder = Recorder(settings, what)
    recorder.started(datetime.now(UTC))
    try:
        yield
    finally:
        recorder.stopped(datetime.now(UTC))
