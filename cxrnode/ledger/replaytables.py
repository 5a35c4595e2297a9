"""The tables of replays: what was asked for, each study of a plan on its way to a verdict, the rounds that began."""

from enum import StrEnum

from sqlalchemy import Column, ForeignKey, Index, Integer, Table

from cxrnode.ledger.columns import String, Text, Utc
from cxrnode.ledger.tables import KEY, UID, metadata


class Step(StrEnum):
    """Where a study of a plan is on its way to a verdict."""

    WAITING = "waiting"
    FETCHING = "fetching"
    READING = "reading"
    DONE = "done"


replays = Table(
    "replays",
    metadata,
    Column("key", KEY, primary_key=True),
    Column("request", String(64), nullable=False, index=True),  # digest of what was asked for
    Column("head", Text, nullable=False),  # of its plan
    Column("model", String(128), nullable=False),  # empty: the one that the settings say
    Column("send", Integer, nullable=False),
    Column("again", Integer, nullable=False),
    Column("made_at", Utc, nullable=False),
    Column("loaded_at", Utc),  # its plan is here, whole
    Column("paused_at", Utc),
    Column("finished_at", Utc),
)

planned = Table(
    "planned",
    metadata,
    Column("replay_key", KEY, ForeignKey("replays.key"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("study_instance_uid", UID, nullable=False, index=True),
    Column("entry", Text, nullable=False),  # its line of the plan
    Column("step", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("due_at", Utc, nullable=False),
    Column("held_since", Utc),  # these two: while it is fetched, and a while after
    Column("held_until", Utc),
    Column("sender", String(16), nullable=False, default=""),  # who was asked to send it to the receiver
    Column("round_key", KEY, ForeignKey("rounds.key")),
    Column("verdict", String(16)),
    Column("reason", Text, nullable=False, default=""),
    Column("at", Utc),
    Index("ix_planned_step", "replay_key", "step", "number"),
)

replayed = Table(  # beside `rounds`: those that a replay began
    "replayed",
    metadata,
    Column("round_key", KEY, ForeignKey("rounds.key"), primary_key=True),
    Column("replay_key", KEY, ForeignKey("replays.key"), nullable=False, index=True),
    Column("model", String(128), nullable=False),
    Column("send", Integer, nullable=False),
)
