"""What the senders of a round were asked while it arrived, and why it was closed."""

from alembic import op
from sqlalchemy import Column, ForeignKey, Integer

from cxrnode.ledger.columns import String, Utc

revision = "r1_0004_completions"
down_revision = "r1_0003_gists"


def upgrade() -> None:
    """Two tables; they may be there: they are older than this revision."""
    op.create_table(
        "questions",
        Column("round_key", String(32), ForeignKey("rounds.key"), primary_key=True),
        Column("ae_title", String(16), primary_key=True),
        Column("asked", Integer, nullable=False),
        Column("asked_at", Utc, nullable=False),
        Column("ask_at", Utc, nullable=False),
        Column("said", String(16)),
        Column("expected", Integer),
        if_not_exists=True,
    )
    op.create_table(
        "completions",
        Column("round_key", String(32), ForeignKey("rounds.key"), primary_key=True),
        Column("reason", String(16), nullable=False),
        Column("expected", Integer),
        Column("received", Integer, nullable=False),
        Column("at", Utc, nullable=False),
        if_not_exists=True,
    )
