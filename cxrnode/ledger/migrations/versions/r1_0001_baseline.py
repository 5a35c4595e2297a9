"""The tables as they were when revisions began; a ledger of before that is completed to them."""

from alembic import op
from sqlalchemy import Column, Float, ForeignKey, Integer, MetaData, Table, UniqueConstraint

from cxrnode.ledger.columns import String, Text, Utc

revision = "r1_0001_baseline"
down_revision = None

UID = String(64)
KEY = String(32)
metadata = MetaData()

Table(
    "studies",
    metadata,
    Column("key", KEY, primary_key=True),
    Column("study_instance_uid", UID, unique=True, nullable=False),
)

Table(
    "rounds",
    metadata,
    Column("key", KEY, primary_key=True),
    Column("study_key", KEY, ForeignKey("studies.key"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("lane", String(16), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("last_received_at", Utc, nullable=False),
    Column("closed_at", Utc),
    Column("analysed_at", Utc),
    Column("finished_at", Utc),
    Column("outcome", String(16)),
    Column("model", String(128)),
    Column("stages_ms", Text, nullable=False),
    UniqueConstraint("study_key", "number"),
)

Table(
    "instances",
    metadata,
    Column("key", KEY, primary_key=True),
    Column("study_key", KEY, ForeignKey("studies.key"), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("first_round", Integer),
    Column("sop_instance_uid", UID, nullable=False, index=True),
    Column("sop_class_uid", UID, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("association", String(64), nullable=False),
    Column("received_at", Utc, nullable=False),
)

Table(
    "readings",
    metadata,
    Column("round_key", KEY, ForeignKey("rounds.key"), primary_key=True),
    Column("instance_key", KEY, ForeignKey("instances.key"), primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("probability", Float),
)

Table(
    "routings",
    metadata,
    Column("round_key", KEY, ForeignKey("rounds.key"), primary_key=True),
    Column("route", String(32), nullable=False),
    Column("prevalence", Float),
)

Table(
    "withdrawals",
    metadata,
    Column("round_key", KEY, ForeignKey("rounds.key"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", Utc, nullable=False),
)

Table(
    "changes",
    metadata,
    Column("instance_key", KEY, ForeignKey("instances.key"), primary_key=True),
    Column("round_key", KEY, ForeignKey("rounds.key"), nullable=False, index=True),
    Column("attributes", Text, nullable=False),
)

Table(
    "purges",
    metadata,
    Column("instance_key", KEY, ForeignKey("instances.key"), primary_key=True),
    Column("round_key", KEY, ForeignKey("rounds.key"), nullable=False, index=True),
    Column("keep_days", Float, nullable=False),
    Column("at", Utc, nullable=False),
    Column("removed_at", Utc),
)

Table(
    "tasks",
    metadata,
    Column("key", KEY, primary_key=True),
    Column("work", String(16), nullable=False),
    Column("round_key", KEY, ForeignKey("rounds.key"), nullable=False, index=True),
    Column("destination", String(32), nullable=False),
    Column("lane", String(16), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("due_at", Utc, nullable=False),
    Column("leased_until", Utc),
    Column("submitted_at", Utc),
    Column("last_error", Text, nullable=False),
    UniqueConstraint("round_key", "work", "destination"),
)

Table(
    "objects",
    metadata,
    Column("sop_instance_uid", UID, primary_key=True),
    Column("round_key", KEY, ForeignKey("rounds.key"), nullable=False, index=True),
    Column("role", String(16), nullable=False),
    Column("sop_class_uid", UID, nullable=False),
    Column("series_instance_uid", UID, nullable=False),
    Column("file", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
)

Table(
    "deliveries",
    metadata,
    Column("sop_instance_uid", UID, ForeignKey("objects.sop_instance_uid"), primary_key=True),
    Column("destination", String(32), primary_key=True),
    Column("fate", String(16), nullable=False),
    Column("status", Integer),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("at", Utc),
)

Table(
    "transactions",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("round_key", KEY, ForeignKey("rounds.key"), nullable=False, index=True),
    Column("destination", String(32), nullable=False),
    Column("number", Integer, nullable=False),
    Column("asked_at", Utc),
    Column("reported_at", Utc),
    Column("concluded_at", Utc),
    UniqueConstraint("round_key", "destination", "number"),
)

Table(
    "commitments",
    metadata,
    Column("transaction_uid", UID, ForeignKey("transactions.uid"), primary_key=True),
    Column("sop_instance_uid", UID, ForeignKey("objects.sop_instance_uid"), primary_key=True),
    Column("committed_at", Utc),
    Column("failure", Integer),
)


def upgrade() -> None:
    """Every table that is not there yet."""
    metadata.create_all(op.get_bind())
