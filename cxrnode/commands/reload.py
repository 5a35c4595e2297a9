"""`cxrnode reload`: the settings are looked at, then every process of the node here is told to read them anew."""

import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from cxrnode.errors import SettingsError
from cxrnode.receiving.porch import require
from cxrnode.serving.running import WHOLE, Process, is_elsewhere, metrics_of, processes, require_same, started_with
from cxrnode.settings import Settings
from cxrnode.up import require_models

RECEIVER = "receiver"
PATIENCE_S = 30.0
"""So long it waits for the word of those that read the settings in place."""
LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Told:
    """One process: whether it goes by the new settings, or will, and a sentence."""

    what: str
    pid: int
    well: bool
    told: str


def reload(settings: Settings, *, as_json: bool) -> bool:
    """Tell them, print what each does, and say whether all go by these settings.

    Raises SettingsError or ModelMismatch where the settings are wrong, or take a new start: nobody was told then.
    """
    found = processes(settings)
    _require(settings, found)
    told = tell(settings, found, PATIENCE_S)
    if as_json:
        print(json.dumps([asdict(one) for one in told], indent=2))
    elif told:
        table = Table("process", "pid", "", "settings", title="cxrnode reload")
        for one in told:
            table.add_row(one.what, str(one.pid), "[green]ok[/]" if one.well else "[red]no[/]", one.told)
        Console().print(table)
    else:
        Console().print("The settings are good. No process of this node runs on this machine.")
    return bool(told) and all(one.well for one in told)


def tell(settings: Settings, found: list[Process], patience_s: float) -> list[Told]:
    """Send each its SIGHUP, and wait for the word of those that read the settings in place."""
    asked_at = datetime.now(UTC).isoformat()
    here = [one for one in found if not is_elsewhere(one)]
    wholes = {one.pid for one in here if one.what == WHOLE}
    refused = {one.pid: why for one in here if one.parent not in wholes and (why := _tell(one))}
    give_up = time.monotonic() + patience_s
    now = {one.pid: one for one in here}
    while any(_in_place(one) and one.read_at < asked_at and one.pid not in refused for one in now.values()):
        if time.monotonic() > give_up:
            break
        time.sleep(LOOK_EVERY_S)
        now = {one.pid: one for one in processes(settings) if one.pid in now and not is_elsewhere(one)}
    wanted = {one.called for one in settings.listeners}
    ended = {one.pid: (True, "has ended: the settings have it no more") for one in here if _gone(one, now, wanted)}
    return [
        Told(
            *(one.what, one.pid),
            *ended.get(one.pid, _became(one, now.get(one.pid), asked_at, refused.get(one.pid, ""))),
        )
        for one in found
    ]


def _gone(one: Process, now: Mapping[int, Process], wanted: set[str]) -> bool:
    return one.what.startswith(RECEIVER) and one.what not in wanted and one.pid not in now


def _became(one: Process, now: Process | None, asked_at: str, refused: str) -> tuple[bool, str]:
    if is_elsewhere(one):
        return False, f"runs on {one.host}, and was not told; wanted the same command there"
    if refused:
        return False, refused
    if not _in_place(one):
        return True, "begins anew after what it has in hand" if one.what.startswith("worker") else "begins anew"
    if now is None:
        return False, "has ended"
    if now.read_at < asked_at:
        return False, "was told, and has not answered yet"
    return (False, f"refused: {now.fault}") if now.fault else (True, "goes by the new ones")


def _in_place(one: Process) -> bool:
    """Whether it reads the settings without beginning anew, and says so."""
    return one.what == WHOLE or one.what.startswith(RECEIVER)


def _tell(one: Process) -> str:
    """Why it could not be told, empty where it was."""
    try:
        os.kill(one.pid, signal.SIGHUP)
    except ProcessLookupError:
        return "has ended"
    except PermissionError:
        return "is another user's; wanted this command from that user, or root"
    return ""


def _require(settings: Settings, found: list[Process]) -> None:
    require_models(settings)
    for listener in settings.listeners:
        require(listener.tls)
    fixed = {one.called: metrics_of(settings, one) for one in settings.listeners}
    for one in found:
        require_same(one.fixed, started_with(settings) | fixed.get(one.what, {}), one.what)
    gone = [one.what for one in found if one.what.startswith(RECEIVER) and one.what not in fixed]
    if gone and not any(one.what == WHOLE for one in found):
        raise SettingsError(f"{', '.join(gone)}: runs, and is not in the settings any more; wanted it ended first")
