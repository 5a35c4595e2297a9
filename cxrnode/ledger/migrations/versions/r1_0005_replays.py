"""Replays, the studies of their plans, their rounds, what they brought back; and the card that read each round."""

from alembic import op
from sqlalchemy import Column, Float, ForeignKey, Integer

from cxrnode.ledger.columns import String, Text, Utc

revision = "r1_0005_replays"
down_revision = "r1_0004_completions"


def upgrade() -> None:
    """Four tables, and a column of `purges`."""
    op.create_table(
        "cards",
        Column("round_key", String(32), ForeignKey("rounds.key"), primary_key=True),
        Column("digest", String(64), nullable=False),
        Column("operating_point", Float),
    )
    op.create_table(
        "replays",
        Column("key", String(32), primary_key=True),
        Column("request", String(64), nullable=False, index=True),
        Column("head", Text, nullable=False),
        Column("model", String(128), nullable=False),
        Column("send", Integer, nullable=False),
        Column("again", Integer, nullable=False),
        Column("made_at", Utc, nullable=False),
        Column("loaded_at", Utc),
        Column("paused_at", Utc),
        Column("finished_at", Utc),
    )
    op.create_table(
        "planned",
        Column("replay_key", String(32), ForeignKey("replays.key"), primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("study_instance_uid", String(64), nullable=False, index=True),
        Column("entry", Text, nullable=False),
        Column("step", String(16), nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("due_at", Utc, nullable=False),
        Column("held_since", Utc),
        Column("held_until", Utc),
        Column("sender", String(16), nullable=False),
        Column("round_key", String(32), ForeignKey("rounds.key")),
        Column("verdict", String(16)),
        Column("reason", Text, nullable=False),
        Column("at", Utc),
    )
    op.create_index("ix_planned_step", "planned", ["replay_key", "step", "number"])
    op.create_table(
        "replayed",
        Column("round_key", String(32), ForeignKey("rounds.key"), primary_key=True),
        Column("replay_key", String(32), ForeignKey("replays.key"), nullable=False, index=True),
        Column("model", String(128), nullable=False),
        Column("send", Integer, nullable=False),
    )
    op.add_column("purges", Column("restored_at", Utc))
