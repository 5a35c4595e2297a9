"""Who is at the keyboard, by the operating system: not by what the environment says, which anybody can set."""

import os
import pwd
import socket
from contextlib import suppress
from pathlib import Path

from cxrnode.audit.message import Participant

LOGIN_UID = Path("/proc/self/loginuid")
NOBODY_LOGGED_IN = 2**32 - 1
"""of a service, and in most containers"""


def person() -> Participant:
    """The user whom this process runs as; as the alternative, who logged in, where that is somebody else (su, sudo)."""
    user, login = _name(os.getuid()), _login()
    known = f"{login}@{socket.gethostname()}" if login and login != user else ""
    return Participant(f"{user}@{socket.gethostname()}", known, login or user, requestor=True)


def process(what: str, ae_title: str) -> Participant:
    """This process of the node, by its id; `what` is what it is called in `cxrnode up`."""
    return Participant(str(os.getpid()), f"AETITLES={ae_title}", f"cxrnode {what}", address=socket.gethostname())


def _login() -> str:
    """Whom the session began as, kept by the kernel through su and sudo (loginuid); empty where it knows none."""
    with suppress(OSError, ValueError):
        uid = int(LOGIN_UID.read_text(encoding="ascii"))
        return _name(uid) if uid != NOBODY_LOGGED_IN else ""
    return ""


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
