"""What is read of each day, in counts, and what it is held against."""

from alembic import op
from sqlalchemy import Column, Integer

from cxrnode.ledger.columns import String

revision = "r1_0009_mixes"
down_revision = "r1_0008_canaries"


def upgrade() -> None:
    """Two tables."""
    op.create_table(
        "mixes",
        Column("day", String(10), primary_key=True),
        Column("digest", String(64), primary_key=True),
        Column("aspect", String(16), primary_key=True),
        Column("label", String(64), primary_key=True),
        Column("model", String(128), nullable=False),
        Column("images", Integer, nullable=False),
    )
    op.create_table(
        "baselines",
        Column("digest", String(64), primary_key=True),
        Column("aspect", String(16), primary_key=True),
        Column("label", String(64), primary_key=True),
        Column("images", Integer, nullable=False),
        Column("source", String(128), nullable=False),
    )
