"""A ledger is brought up to date by whoever opens it first, under the writer's lock, in one transaction.

A ledger without a revision is empty, or of before there were revisions: the first one completes it. One that is newer
than this program is opened if it is of the same generation, as its revisions only added; else refused.
"""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from cxrnode.errors import LedgerUnavailable
from cxrnode.log import logger

LOG = logger("ledger")
FOLDER = Path(__file__).with_name("migrations")
REVISIONS = sorted(path.stem for path in FOLDER.glob("versions/r*.py"))
"""In order; a name is r, the generation, a number and a word."""


def bring_up_to_date(engine: Engine) -> None:
    """Run the revisions that the ledger lacks. Raises LedgerUnavailable where it is of another, later generation."""
    with engine.connect().execution_options(reading=True) as db:
        if not _lacks(db):
            return
    from alembic import command
    from alembic.config import Config

    with engine.begin() as db:
        if not _lacks(db):
            return  # another process was first
        if engine.dialect.name == "postgresql":
            db.execute(text("SET LOCAL statement_timeout = 0"))  # a large table takes its time
        config = Config()
        config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
        config.attributes["connection"] = db
        command.upgrade(config, "head")
    LOG.info("ledger upgraded", revision=REVISIONS[-1])


def _lacks(db: Connection) -> bool:
    """Whether revisions of this program are missing in the ledger."""
    there = inspect(db).has_table("alembic_version")
    at = db.execute(text("SELECT version_num FROM alembic_version")).scalar() if there else None
    if at is None or at in REVISIONS:
        return at != REVISIONS[-1]
    if _generation(at) != _generation(REVISIONS[-1]):
        raise LedgerUnavailable(
            f"the ledger is at revision {at}, newer than this program, which knows {REVISIONS[-1]}; "
            "wanted the program's version that wrote it, or a backup of the ledger of before"
        )
    LOG.warning("ledger newer than this program", revision=at, known=REVISIONS[-1])
    return False


def _generation(revision: str) -> str:
    return revision.partition("_")[0]
