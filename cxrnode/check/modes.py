"""Who else may read or change what is this node's alone: its state, its secrets, its settings."""

import os
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cxrnode.errors import SettingsError
from cxrnode.settings import Settings
from cxrnode.validity import open_to_others

ADDRESSES = (("queue", "broker_url"), ("ledger", "url"))
"""Settings in which a password may stand before the @."""


def permissions(settings: Settings) -> str:
    """Of the state folder and what lies in it, where it is there yet, of the files with secrets, of the settings file.

    Raises SettingsError with all that is wrong, OSError for a file that is not there.
    """
    state = settings.node.state_dir
    kept = [state, *state.iterdir()] if state.is_dir() else []
    faults = list(open_to_others([*kept, *secret_files(settings)]))
    if named := os.environ.get("CXRNODE_CONFIG"):
        faults += _of_settings(Path(named))
    if faults:
        raise SettingsError("; ".join(faults))
    return f"{state} and the files with passwords are for this user alone"


def secret_files(settings: Settings) -> list[Path]:
    """Every file of the settings that has a password or a key in it; those of [tls] are looked at with certificates."""
    named = [settings.queue.password_file, settings.queue.key_file, settings.flower.password_file]
    named += [str(one or "") for one in (settings.audit.key_file, *(one.password_file for one in settings.archives))]
    named += parse_qs(urlsplit(settings.ledger.url).query).get("passfile", [])
    return [Path(file) for file in dict.fromkeys(named) if file]


def _of_settings(file: Path) -> Iterator[str]:
    """Nobody else may change it; where a password stands in it, nobody but owner and group may read it."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if named := list(_passwords(tomllib.loads(file.read_text(encoding="utf-8")))):
        if mode & 0o037:
            told = f"{file}: mode {mode:04o}, and {', '.join(named)} has a password in it"
            yield f"{told}; wanted 0640 or 0600, or the password in a file of its own"
    elif mode & 0o002:
        yield f"{file}: mode {mode:04o} lets anybody change the settings; wanted 0644 at the most"


def _passwords(table: dict[str, Any]) -> Iterator[str]:
    """The settings of a file that have a password in them."""
    if table.get("flower", {}).get("password"):
        yield "flower.password"
    for part, name in ADDRESSES:
        if urlsplit(table.get(part, {}).get(name, "")).password:
            yield f"{part}.{name}"
