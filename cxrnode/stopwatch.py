"""Where the time goes: milliseconds by stage, on the clock that runs in this thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter

STAGES = (
    *("open", "decode", "gate", "read", "lungs", "regions"),
    *("report", "overlay", "presentation", "segmentation", "map", "keyobjects", "encode", "write"),
)
"""Of an analysis, in its order; none lies within another, so that they add up. `read` is the network with its map."""


class Clock:
    """Milliseconds by stage, in the order in which the stages were first reached."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, in this thread, every `stage` counts here."""
        before = _RUNNING.set(self)
        try:
            yield
        finally:
            _RUNNING.reset(before)

    def add(self, name: str, ms: float) -> None:
        """Charge a stage."""
        self.ms[name] = self.ms.get(name, 0.0) + ms


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time what is done inside; where no clock runs, only do it."""
    started = perf_counter()
    try:
        yield
    finally:
        if (clock := _RUNNING.get()) is not None:
            clock.add(name, (perf_counter() - started) * 1000)


_RUNNING: ContextVar[Clock | None] = ContextVar("clock", default=None)
