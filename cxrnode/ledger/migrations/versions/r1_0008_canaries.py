"""Drawn studies that the node sent itself, and whether each came back in time."""

from alembic import op
from sqlalchemy import Column, Float, Integer

from cxrnode.ledger.columns import String, Text, Utc

revision = "r1_0008_canaries"
down_revision = "r1_0007_transfers"


def upgrade() -> None:
    """One table."""
    op.create_table(
        "canaries",
        Column("study_instance_uid", String(64), primary_key=True),
        Column("destination", String(32), nullable=False),
        Column("began_at", Utc, nullable=False, index=True),
        Column("due_at", Utc, nullable=False),
        Column("ended_at", Utc),
        Column("back", Integer),
        Column("took_s", Float),
        Column("reason", Text, nullable=False),
        Column("model", String(128), nullable=False),
        Column("probability", Float),
    )
