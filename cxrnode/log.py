"""One JSON line per event on standard error: random keys and AE titles, never a name, a date of birth or a UID."""

import logging
import sys
from typing import TextIO

import structlog


def start(level: str = "info", stream: TextIO | None = None) -> None:
    """Send every event of this process to `stream` (default: standard error, whatever that is then) as JSON lines."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: structlog.WriteLogger(stream or sys.stderr),  # as it is when something happens
    )


def logger(room: str) -> structlog.typing.FilteringBoundLogger:
    """The log of one room; an event is `logger("receive").info("stored", key=...)`."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=room)
    return log
