"""What a backup holds and what it says of itself."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cxrnode.audit.recorder import folder_of
from cxrnode.errors import Unreadable
from cxrnode.settings import Settings

LABEL = "backup.json"
FORM = 1
"""The form of a backup; another one is refused."""
INSTANCES, RESULTS, SALT = "spool/instances", "spool/results", "spool/salt"


@dataclass(frozen=True)
class Label:
    """What a backup says of itself; `taken_at` is UTC, ISO 8601: what the ledger knew then."""

    form: int
    version: str
    """of the program"""
    node: str
    ae_title: str
    ledger: str
    """the name of its copy, which tells of what kind it is"""
    taken_at: str
    instances: int
    files: int
    size: int
    sums: str
    """sha256 of the list of files"""

    def written(self) -> str:
        """It as JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"


def label_of(folder: Path) -> Label:
    """What a backup says of itself. Raises Unreadable where it is none, or of another form."""
    try:
        told = json.loads((folder / LABEL).read_text(encoding="utf-8"))
        label = Label(**told)
    except (OSError, ValueError, TypeError) as error:
        raise Unreadable(f"{folder} is no backup: {LABEL} cannot be read ({type(error).__name__})") from error
    if label.form != FORM:
        raise Unreadable(f"{folder} is a backup of form {label.form}; wanted {FORM}: cxrnode {label.version} made it")
    return label


def latest(folder: Path, node: str) -> Path | None:
    """The latest of the backups of a node that lie in this folder."""
    found: list[tuple[str, Path]] = []
    for one in folder.glob(f"[!.]*/{LABEL}"):
        with suppress(Unreadable):
            label = label_of(one.parent)
            found += [(label.taken_at, one.parent)] * (label.node == node)
    return max(found)[1] if found else None


def trees(settings: Settings) -> dict[str, Path]:
    """The folders of the node that a backup holds, by their names in it."""
    state, spool = settings.node.state_dir, settings.node.spool_dir
    return {
        INSTANCES: spool / "instances",
        RESULTS: spool / "results",
        "audit": folder_of(settings),
        "replays": state / "replays",
    }
