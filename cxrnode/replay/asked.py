"""What a person asks of a replay: which studies, read by which model, sent or not; the same words, the same replay."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cxrnode.errors import SettingsError
from cxrnode.ledger.replays import Request
from cxrnode.plans.criteria import Criteria
from cxrnode.plans.plan import Origin
from cxrnode.uids import digest_of

NOTHING = Criteria()


@dataclass(frozen=True)
class Asked:
    """The source is one of: paths (files, folders, patterns), an archive, the spool, or a plan that was made before.

    `named` is a list of studies, to be found in the archive or the spool. Raises SettingsError for what does not go
    together.
    """

    paths: tuple[str, ...] = ()
    archive: str = ""
    from_spool: bool = False
    plan: Path | None = None
    named: Path | None = None
    criteria: Criteria = NOTHING
    calling_ae: str = ""
    """who is taken to have sent what comes from files"""
    model: str = ""
    send: bool = True
    again: bool = False

    def __post_init__(self) -> None:
        sources = {"PATH": self.paths, "--archive": self.archive, "--from-spool": self.from_spool, "--plan": self.plan}
        given = [name for name, value in sources.items() if value]
        if len(given) != 1:
            raise SettingsError(f"{' and '.join(given) or 'no source'}; wanted one of {', '.join(sources)}")
        if self.named is not None and not (self.archive or self.from_spool):
            raise SettingsError("--list without a place to find its studies in; wanted --archive or --from-spool")
        if self.criteria != NOTHING and (self.named is not None or not self.archive):
            raise SettingsError(
                "dates and the like choose studies of an archive; wanted them with --archive, no --list"
            )
        if self.archive and self.named is None and self.criteria == NOTHING:
            raise SettingsError(
                f"--archive {self.archive} without a choice; wanted --from and --to, --modality or --list"
            )
        if self.calling_ae and not self.paths:
            raise SettingsError("--calling-ae tells who sent files; wanted it with PATH alone")

    @property
    def origin(self) -> Origin:
        """Where the images are, of what is no plan yet."""
        return Origin.FILES if self.paths else Origin.ARCHIVE if self.archive else Origin.SPOOL

    @property
    def words(self) -> dict[str, str]:
        """The choice of studies by option, what was not given left out."""
        criteria = self.criteria
        told = {
            "paths": " ".join(str(Path(path).absolute()) for path in self.paths),
            "archive": self.archive,
            "from-spool": "yes" if self.from_spool else "",
            "list": str(self.named.absolute()) if self.named else "",
            "from": str(criteria.first or ""),
            "to": str(criteria.last or ""),
            "modality": ", ".join(criteria.modalities),
            "description": criteria.description,
            "body-part": criteria.body_part,
            "station": criteria.station,
            "calling-ae": self.calling_ae,
        }
        return {name: value for name, value in told.items() if value}

    @property
    def request(self) -> Request:
        """The same as the ledger knows it: by a digest, with that of the list's or the plan's content."""
        content = [_digest(file) for file in (self.named, self.plan) if file is not None]
        digest = digest_of([self.words, content, self.model, self.send, self.again])
        return Request(digest, self.model, self.send, self.again)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
