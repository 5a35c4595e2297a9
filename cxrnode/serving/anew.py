"""SIGHUP: a process reads its settings anew, in place or by beginning as if it had just been called."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from cxrnode.errors import SettingsError
from cxrnode.log import logger
from cxrnode.settings import Settings, load

LOG = logger("anew")
CALLED_IN = dict(os.environ)
"""The environment of this process as it was when it was called: what it adds is for itself."""


def on_hangup(again: Callable[[], None], stop: Callable[[], None]) -> None:
    """Have `again` called at each SIGHUP; at that of a terminal which is closed, `stop`, as for any program."""
    had = _has_terminal()
    signal.signal(signal.SIGHUP, lambda *_: stop() if had and not _has_terminal() else again())


def good() -> Settings | None:
    """The settings as they are now; None: they are refused, as the log says, and those of before hold."""
    try:
        return load()
    except SettingsError as error:
        LOG.error("settings refused", reason=str(error))
        return None


def begin_anew() -> NoReturn:
    """Become what was called, with the same pid: whoever supervises it sees no end."""
    environment = CALLED_IN | {name: value for name, value in os.environ.items() if name == "CXRNODE_CONFIG"}
    LOG.info("begins anew", pid=os.getpid())
    with suppress(OSError):
        sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606  our own command, no shell


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
