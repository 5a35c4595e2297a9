"""`cxrnode audit`: the audit trail as a table, for whoever is asked who did what; reading it is in it, too."""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxrnode.audit.entry import Entry, entry_of
from cxrnode.audit.recorder import Recorder
from cxrnode.audit.trail import Trail
from cxrnode.errors import LedgerUnavailable, Unknown
from cxrnode.ledger import Ledger
from cxrnode.ledger.holdings import images_of
from cxrnode.settings import Settings


@dataclass(frozen=True)
class Wanted:
    """Which messages: of which days by UTC, about which study, with whom; None and empty are all."""

    first: date | None
    last: date | None
    study: str
    who: str

    def has_day(self, day: date) -> bool:
        """Whether messages that were written on this day are wanted."""
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)

    def has(self, entry: Entry) -> bool:
        """Whether this one is."""
        about = not self.study or self.study in (entry.study, entry.study_key)
        return about and (not self.who or self.who in _names(entry))


def audit(settings: Settings, wanted: Wanted, now: datetime, *, as_xml: bool, as_json: bool) -> None:
    """Print the messages that are wanted, once the trail says that they were read. Raises AuditUnavailable."""
    recorder = Recorder(settings, "audit")
    recorder.read_trail(now)
    wanted = Wanted(wanted.first, wanted.last, _uid(settings, wanted.study), wanted.who)
    found = messages(recorder.trail, wanted)
    if as_xml:
        for _, line in found:
            sys.stdout.write(line.decode("utf-8") + "\n")
    elif as_json:
        print(json.dumps([asdict(entry) for entry, _ in found], indent=2))
    else:
        _print_table(entry for entry, _ in found)


def messages(trail: Trail, wanted: Wanted) -> Iterator[tuple[Entry, bytes]]:
    """The messages that are wanted, in the order of the files."""
    for file in trail.files():
        if not wanted.has_day(date.fromisoformat(file.stem)):
            continue
        for line in trail.after(file, 0):
            entry = entry_of(line.content)
            if entry is not None and wanted.has(entry):
                yield entry, line.content


def _uid(settings: Settings, study: str) -> str:
    """The Study Instance UID of a study that the ledger knows; what was erased goes by the name that is given."""
    if study:
        with suppress(Unknown, LedgerUnavailable):
            return images_of(Ledger(settings.ledger_url), study).study_instance_uid
    return study


def _names(entry: Entry) -> set[str]:
    """What those who took part go by: a user with and without the host, an AE title, a process's name."""
    names = set(entry.participants)
    titles = {title for name in names for title in name.removeprefix("AETITLES=").split(";")}
    return names | titles | {name.partition("@")[0] for name in names}


def _print_table(entries: Iterator[Entry]) -> None:
    table = Table(*("at (UTC)", "event", "by", "patient", "study", "instances", "failed"))
    for one in entries:
        failed = "" if one.outcome == "0" else one.reason or one.outcome
        count = str(one.instances) if one.instances else ""
        table.add_row(
            *(one.at[:19].replace("T", " "), escape(one.event), escape(one.by), escape(one.patient)),
            *(escape(one.study), count, escape(failed)),
        )
    Console().print(table)
