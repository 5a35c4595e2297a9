"""`cxrnode purge STUDY`: one study is erased, bytes and rows, whatever its age; a line of the audit trail stays."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

from rich.console import Console

from cxrnode.audit import arrivals
from cxrnode.audit.looking import whose_is
from cxrnode.audit.recorder import Recorder
from cxrnode.counted import counted
from cxrnode.draft import locked
from cxrnode.errors import Retryable, StillOwed
from cxrnode.ledger import Ledger, erasures
from cxrnode.ledger.erasures import Whole
from cxrnode.settings import Settings
from cxrnode.spool import Spool


def erase(settings: Settings, study: str, *, dry_run: bool, owed_too: bool, as_json: bool) -> None:
    """Print what there is of a study and, unless on a dry run, erase it: images, results, receipts, every row.

    Raises Unknown, StillOwed where somebody works on it, a backup is being made, or something is owed and `owed_too`
    is not said, and AuditUnavailable: then nothing is erased.
    """
    ledger, spool, now = Ledger(settings.ledger_url), Spool(settings.node.spool_dir), datetime.now(UTC)
    found = erasures.whole(ledger, study, now)
    if not dry_run:
        if found.owes and not owed_too:
            raise StillOwed(
                f"study {found.key[:8]} is not finished, or results of it are still owed; "
                "wanted it finished, or --even-if-owed"
            )
        recorder = Recorder(settings, "purge")
        arrivals.tell(ledger, spool, recorder, 0.0, now)  # its arrival before its end
        removing = partial(_remove, settings, ledger, spool, recorder, now)
        try:
            with locked(spool.root):
                found = erasures.erase(ledger, found.key, now, removing)
        except BlockingIOError as error:
            raise StillOwed("a backup is being made; wanted the same command afterwards") from error
    if as_json:
        print(json.dumps({"dry_run": dry_run, **_as_object(found)}, indent=2))
        return
    said = "Dry run, nothing was changed: would be erased" if dry_run else "Erased"
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"{said}: study {found.key[:8]}, {_in_words(found)}.")
    for destination, count in found.held_by.items():
        console.print(f"{destination} keeps {counted(count, 'result')} of it; withdraw them before, not after.")


def _remove(settings: Settings, ledger: Ledger, spool: Spool, recorder: Recorder, now: datetime, found: Whole) -> None:
    """The trail is told, then the bytes go: nothing is erased that it does not know of."""
    recorder.removed(whose_is(settings, ledger, found.key), found.classes, now, by_hand=True)
    try:
        for key in found.instances:
            spool.erase(key)
        for round_key in found.rounds:
            spool.purge_results(round_key)
    except OSError as error:
        told = f"study {found.key[:8]} cannot be removed whole ({error.strerror}); wanted the same command again"
        raise Retryable(told) from error


def _as_object(found: Whole) -> dict[str, object]:
    told = asdict(found)
    del told["study_instance_uid"], told["classes"]
    return told | {"study": told.pop("key"), "instances": len(found.instances), "rounds": len(found.rounds)}


def _in_words(found: Whole) -> str:
    images = f"{counted(len(found.instances), 'instance')} ({found.size / 1e6:.1f} MB)"
    return f"{images}, {counted(len(found.rounds), 'round')}"
