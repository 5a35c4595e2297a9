"""The ledger's tables; what may stand in their columns of states and kinds is in states.py.

A study has rounds; a round covers every instance of its study that had arrived when it was closed. Work on a round is
a task: analyse it, or deliver it to one destination.
"""

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, MetaData, Table, UniqueConstraint

from cxrnode.ledger.columns import String, Text, Utc

UID, KEY = String(64), String(32)
metadata = MetaData()

studies = Table(
    "studies",
    metadata,
    Column("key", KEY, primary_key=True),
    Column("study_instance_uid", UID, unique=True, nullable=False),
)

rounds = Table(
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
    Column("stages_ms", Text, nullable=False, default="{}"),
    UniqueConstraint("study_key", "number"),
    Index("ix_rounds_last_received_at", "last_received_at", "number"),
)

instances = Table(
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

readings = Table(
    "readings",
    metadata,
    Column("round_key", KEY, ForeignKey("rounds.key"), primary_key=True),
    Column("instance_key", KEY, ForeignKey("instances.key"), primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("probability", Float),
)

routings = Table(  # beside `rounds`, so that a ledger of before there were routes needs no change
    "routings",
    metadata,
    Column("round_key", KEY, ForeignKey("rounds.key"), primary_key=True),
    Column("route", String(32), nullable=False),
    Column("prevalence", Float),
)

cards = Table(  # beside `rounds`: the digest of the card that each was read by; none of rounds of before it was kept
    "cards",
    metadata,
    Column("round_key", KEY, ForeignKey("rounds.key"), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("operating_point", Float),
)

gists = Table(  # beside `rounds`: what the results of each say, and whose results stand where it says nothing new
    "gists",
    metadata,
    Column("round_key", KEY, ForeignKey("rounds.key"), primary_key=True),
    Column("gist", String(64), nullable=False),
    Column("stands_on", KEY, ForeignKey("rounds.key")),
)

withdrawals = Table(  # beside `rounds`, likewise
    "withdrawals",
    metadata,
    Column("round_key", KEY, ForeignKey("rounds.key"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", Utc, nullable=False),
)

questions = Table(  # beside `rounds`: what its senders were asked while it arrived, and what they said
    "questions",
    metadata,
    Column("round_key", KEY, ForeignKey("rounds.key"), primary_key=True),
    Column("ae_title", String(16), primary_key=True),
    Column("asked", Integer, nullable=False),  # how often since the last image
    Column("asked_at", Utc, nullable=False),
    Column("ask_at", Utc, nullable=False),  # and again then
    Column("said", String(16)),
    Column("expected", Integer),
)

completions = Table(  # beside `rounds`: why each was closed
    "completions",
    metadata,
    Column("round_key", KEY, ForeignKey("rounds.key"), primary_key=True),
    Column("reason", String(16), nullable=False),
    Column("expected", Integer),
    Column("received", Integer, nullable=False),
    Column("at", Utc, nullable=False),
)

changes = Table(  # beside `instances`: corrected copies that came after the round was delivered
    "changes",
    metadata,
    Column("instance_key", KEY, ForeignKey("instances.key"), primary_key=True),
    Column("round_key", KEY, ForeignKey("rounds.key"), nullable=False, index=True),
    Column("attributes", Text, nullable=False),
)

purges = Table(  # beside `instances`: whose bytes were removed when their time was over
    "purges",
    metadata,
    Column("instance_key", KEY, ForeignKey("instances.key"), primary_key=True),
    Column("round_key", KEY, ForeignKey("rounds.key"), nullable=False, index=True),  # the study's latest, then
    Column("keep_days", Float, nullable=False),
    Column("at", Utc, nullable=False),
    *(Column(name, Utc) for name in ("removed_at", "restored_at")),  # the latter: a replay has brought the bytes back
)

tasks = Table(
    "tasks",
    metadata,
    Column("key", KEY, primary_key=True),
    Column("work", String(16), nullable=False),
    Column("round_key", KEY, ForeignKey("rounds.key"), nullable=False, index=True),
    Column("destination", String(32), nullable=False),
    Column("lane", String(16), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("attempts", Integer, nullable=False, default=0),
    Column("fence", Integer, nullable=False, default=0),
    Column("created_at", Utc, nullable=False),
    Column("due_at", Utc, nullable=False),
    Column("leased_until", Utc),
    Column("submitted_at", Utc),
    Column("last_error", Text, nullable=False, default=""),
    UniqueConstraint("round_key", "work", "destination"),
)

objects = Table(
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

deliveries = Table(
    "deliveries",
    metadata,
    Column("sop_instance_uid", UID, ForeignKey("objects.sop_instance_uid"), primary_key=True),
    Column("destination", String(32), primary_key=True),
    Column("fate", String(16), nullable=False),
    Column("status", Integer),
    Column("reason", Text, nullable=False, default=""),
    Column("attempts", Integer, nullable=False, default=0),
    Column("at", Utc),
)

transactions = Table(  # requests for storage commitment: one a question, known for ever, as reports may be late
    "transactions",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("round_key", KEY, ForeignKey("rounds.key"), nullable=False, index=True),
    Column("destination", String(32), nullable=False),
    Column("number", Integer, nullable=False),
    Column("asked_at", Utc),  # the archive has taken the request
    Column("reported_at", Utc),
    Column("concluded_at", Utc),  # the fates say what was reported
    UniqueConstraint("round_key", "destination", "number"),
)

commitments = Table(
    "commitments",
    metadata,
    Column("transaction_uid", UID, ForeignKey("transactions.uid"), primary_key=True),
    Column("sop_instance_uid", UID, ForeignKey("objects.sop_instance_uid"), primary_key=True),
    Column("committed_at", Utc),
    Column("failure", Integer),  # Failure Reason (0008,1197)
)

circuits = Table(  # destinations that gave no answer the last times; beside `tasks`, which are not touched by it
    "circuits",
    metadata,
    Column("peer", String(128), primary_key=True),
    Column("destination", String(32), nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("opened_at", Utc),  # these two: None until there were too many
    Column("probe_at", Utc),
    Column("reason", Text, nullable=False),
)

returns = Table(  # beside `tasks`: who a round's results go back to, where the destination is whoever sent the study
    "returns",
    metadata,
    Column("round_key", KEY, ForeignKey("rounds.key"), primary_key=True),
    Column("destination", String(32), primary_key=True),
    Column("ae_title", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("peer", String(128), nullable=False),
)
