"""What a round's result says, so that a later round that says the same sends none."""

from alembic import op
from sqlalchemy import Column, ForeignKey

from cxrnode.ledger.columns import String

revision = "r1_0003_gists"
down_revision = "r1_0002_circuits"


def upgrade() -> None:
    """One table; it may be there: it is older than this revision."""
    op.create_table(
        "gists",
        Column("round_key", String(32), ForeignKey("rounds.key"), primary_key=True),
        Column("gist", String(64), nullable=False),
        Column("stands_on", String(32), ForeignKey("rounds.key")),
        if_not_exists=True,
    )
