"""What came of each study over each association, until the audit trail has been told."""

from alembic import op
from sqlalchemy import Column, ForeignKey, Integer

from cxrnode.ledger.columns import String, Text, Utc

revision = "r1_0007_transfers"
down_revision = "r1_0006_tallies"


def upgrade() -> None:
    """One table."""
    op.create_table(
        "transfers",
        Column("study_key", String(32), ForeignKey("studies.key"), primary_key=True),
        Column("association", String(64), primary_key=True),
        Column("calling_ae", String(16), primary_key=True),
        Column("address", String(64), primary_key=True),
        Column("last_at", Utc, nullable=False, index=True),
        Column("fresh", Integer, nullable=False),
        Column("classes", Text, nullable=False),
        Column("instance_key", String(32), nullable=False),
    )
