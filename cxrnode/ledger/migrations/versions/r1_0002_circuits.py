"""Destinations that are away, and who a round's results go back to."""

from alembic import op
from sqlalchemy import Column, ForeignKey, Integer

from cxrnode.ledger.columns import String, Text, Utc

revision = "r1_0002_circuits"
down_revision = "r1_0001_baseline"


def upgrade() -> None:
    """Two tables; they may be there: they are older than this revision."""
    op.create_table(
        "circuits",
        Column("peer", String(128), primary_key=True),
        Column("destination", String(32), nullable=False),
        Column("failures", Integer, nullable=False),
        Column("opened_at", Utc),
        Column("probe_at", Utc),
        Column("reason", Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "returns",
        Column("round_key", String(32), ForeignKey("rounds.key"), primary_key=True),
        Column("destination", String(32), primary_key=True),
        Column("ae_title", String(16), nullable=False),
        Column("address", String(64), nullable=False),
        Column("peer", String(128), nullable=False),
        if_not_exists=True,
    )
