"""`cxrnode replays`, `pause` and `resume`: the replays there were and are, for the people who watch them."""

import json
from datetime import datetime

from rich.console import Console
from rich.table import Table

from cxrnode.backfill.progress import in_words
from cxrnode.ledger import Ledger, planned, replays
from cxrnode.ledger.replays import Replay
from cxrnode.ledger.replaytables import Step
from cxrnode.settings import Settings


def show(settings: Settings, *, as_json: bool) -> None:
    """Print every replay and how it stands."""
    ledger = Ledger(settings.ledger_url)
    found = [(one, planned.steps(ledger, one.key), planned.verdicts(ledger, one.key)) for one in replays.listed(ledger)]
    if as_json:
        print(
            json.dumps([_as_object(one) | {"steps": steps, "verdicts": told} for one, steps, told in found], indent=2)
        )
        return
    columns = ("replay", "asked (UTC)", "source", "model", "sent", "state", "studies", "done", "verdicts")
    table = Table(*columns, title="Replays")
    for one, steps, told in found:
        about = (one.key[:8], f"{one.made_at:%Y-%m-%d %H:%M}", one.head.archive or one.head.origin)
        read = (one.model or "as set", "yes" if one.send else "no", _state(one))
        table.add_row(*about, *read, str(steps.total()), str(steps[Step.DONE]), in_words(told))
    Console().print(table)


def pause(settings: Settings, named: str | None, now: datetime | None) -> None:
    """Pause one or all, or (None) resume, and say which. Raises Unknown."""
    found = replays.pause(Ledger(settings.ledger_url), named, now)
    keys = ", ".join(one.key[:8] for one in found)
    what = "Resumed" if now is None else "Paused"
    Console().print(f"{what}: {keys}." if found else "No replay is under way.", highlight=False)


def _state(one: Replay) -> str:
    if one.finished_at is not None:
        return "ended"
    if one.loaded_at is None:
        return "being planned"
    return "paused" if one.paused_at is not None else "under way"


def _as_object(one: Replay) -> dict[str, object]:
    moments = {name: getattr(one, name) for name in ("made_at", "loaded_at", "paused_at", "finished_at")}
    told = {name: moment and moment.isoformat() for name, moment in moments.items()}
    about = {"key": one.key, "source": one.head.archive or one.head.origin, "asked": one.head.asked}
    return about | {"model": one.model, "send": one.send, "again": one.again, "state": _state(one)} | told
