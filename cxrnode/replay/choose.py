"""The studies that were asked for, from wherever they are chosen, as the entries of a plan; one at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path

from cxrnode.audit.question import asked_of
from cxrnode.audit.recorder import Recorder
from cxrnode.errors import SettingsError
from cxrnode.ledger import Ledger, holdings
from cxrnode.peers import find
from cxrnode.plans.gather import Tally, gather
from cxrnode.plans.listing import Kind, Named, listed
from cxrnode.plans.plan import Entry, Verdict
from cxrnode.replay.asked import Asked
from cxrnode.settings import Settings
from cxrnode.settings.archive import Archive


def archive_named(settings: Settings, name: str) -> Archive:
    """An archive of the settings. Raises SettingsError."""
    for archive in settings.archives:
        if archive.name == name:
            return archive
    known = ", ".join(one.name for one in settings.archives) or "none is there"
    raise SettingsError(f"no archive is called {name!r} in the settings; wanted one of: {known}")


def entries(
    asked: Asked, settings: Settings, ledger: Ledger, folder: Path, progress: Callable[[Tally], None]
) -> Iterator[Entry]:
    """The studies that were asked for; `folder` is for what has to be kept on the disk meanwhile.

    Raises SettingsError, PeerUnavailable, PeerRefused, SpoolFull.
    """
    if asked.paths:
        largest = settings.receiving.largest_instance_mb * 2**20
        return gather(asked.paths, folder=folder, largest=largest, progress=progress)
    if asked.archive:
        archive = archive_named(settings, asked.archive)
        return _of_archive(asked, archive, settings.node.ae_title, asked_of(archive, Recorder(settings, "replay")))
    if asked.named is not None:
        return _named_here(asked.named, ledger)
    return holdings.studies_kept(ledger)


def _of_archive(asked: Asked, archive: Archive, ae_title: str, tell: find.Tell) -> Iterator[Entry]:
    if asked.named is None:
        return find.find_studies(archive, ae_title, asked.criteria, tell)
    return _resolved(asked.named, lambda names: find.resolve(archive, ae_title, names, tell))


def _resolved(path: Path, resolve: Callable[[Iterator[str]], Iterator[Entry]]) -> Iterator[Entry]:
    """What a list names, as the archive knows it, and its bad rows, about where they stand."""
    faults: list[Entry] = []

    def names() -> Iterator[str]:
        for row in listed(path):
            if isinstance(row, Named):
                yield row.value
            else:
                faults.append(row)

    for entry in resolve(names()):
        yield from faults
        faults.clear()
        yield entry
    yield from faults


def _named_here(path: Path, ledger: Ledger) -> Iterator[Entry]:
    """What a list names of the studies that the node has; it knows no accession numbers."""
    for row in listed(path):
        if isinstance(row, Entry):
            yield row
        elif row.kind is Kind.ACCESSION:
            reason = "The node knows no accession numbers; wanted its Study Instance UID, or --archive."
            yield Entry(accession=row.value, verdict=Verdict.FAILED, reason=reason)
        else:
            yield holdings.study_kept(ledger, row.value)
