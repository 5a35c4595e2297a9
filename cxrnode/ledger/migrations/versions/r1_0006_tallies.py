"""A running count of the instances of finished studies, kept by triggers; and indexes for what is asked often."""

from alembic import op
from sqlalchemy import Column, ForeignKey, Integer, text

from cxrnode.ledger.columns import String, Utc

revision = "r1_0006_tallies"
down_revision = "r1_0005_replays"

BY_ROUND = "(SELECT rounds.study_key FROM rounds WHERE rounds.key = {row}.round_key)"
STUDY = {  # by table: the study that a row of it is of
    "instances": "{row}.study_key",
    "rounds": "{row}.study_key",
    "readings": BY_ROUND,
    "gists": BY_ROUND,
    "withdrawals": BY_ROUND,
    "replayed": BY_ROUND,
    "purges": "(SELECT instances.study_key FROM instances WHERE instances.key = {row}.instance_key)",
    "tasks": BY_ROUND,
    "objects": BY_ROUND,
    "deliveries": "(SELECT rounds.study_key FROM objects JOIN rounds ON rounds.key = objects.round_key "
    "WHERE objects.sop_instance_uid = {row}.sop_instance_uid)",
}
UNSETTLE = (
    "UPDATE unsettled SET version = version + 1 WHERE study_key = {study}; "
    "INSERT INTO unsettled (study_key, version) SELECT it.study_key, {chance} FROM (SELECT {study} AS study_key) AS it "
    "WHERE it.study_key IS NOT NULL AND NOT EXISTS (SELECT 1 FROM unsettled WHERE unsettled.study_key = it.study_key);"
)
CHANCE = {"sqlite": "abs(random() % 1000000000)", "postgresql": "CAST(floor(random() * 1000000000) AS integer)"}
"""Where a study's versions begin: not where they began the last time."""
TAKE_OUT = "DELETE FROM shares WHERE study_key = NEW.study_key; DELETE FROM keeps WHERE study_key = NEW.study_key;"
ADD = (
    "INSERT INTO tallies (place, outcome, instances) SELECT NEW.place, NEW.outcome, 0 "
    "WHERE NOT EXISTS (SELECT 1 FROM tallies WHERE place = NEW.place AND outcome = NEW.outcome); "
    "UPDATE tallies SET instances = instances + NEW.instances WHERE place = NEW.place AND outcome = NEW.outcome;"
)
SUBTRACT = "UPDATE tallies SET instances = instances - OLD.instances WHERE place = OLD.place AND outcome = OLD.outcome;"


def upgrade() -> None:
    """Four tables, three indexes and the triggers; every study there is is unsettled at first."""
    op.create_table(
        "unsettled",
        Column("study_key", String(32), ForeignKey("studies.key"), primary_key=True),
        Column("version", Integer, nullable=False),
    )
    op.create_table(
        "shares",
        Column("study_key", String(32), ForeignKey("studies.key"), primary_key=True),
        Column("place", String(64), primary_key=True),
        Column("outcome", String(16), primary_key=True),
        Column("instances", Integer, nullable=False),
    )
    op.create_table(
        "tallies",
        Column("place", String(64), primary_key=True),
        Column("outcome", String(16), primary_key=True),
        Column("instances", Integer, nullable=False),
    )
    op.create_table(
        "keeps",
        Column("study_key", String(32), ForeignKey("studies.key"), primary_key=True),
        Column("since", Utc, nullable=False, index=True),
    )
    op.create_index("ix_rounds_last_received_at", "rounds", ["last_received_at", "number"])
    gone = text("removed_at IS NULL")
    op.create_index("ix_purges_to_remove", "purges", ["round_key"], sqlite_where=gone, postgresql_where=gone)
    op.execute("INSERT INTO unsettled (study_key, version) SELECT key, 0 FROM studies")
    chance = CHANCE[op.get_bind().dialect.name]
    _trigger("unsettled", "INSERT", TAKE_OUT)
    _trigger("shares", "INSERT", ADD)
    _trigger("shares", "DELETE", SUBTRACT)
    for table, study in STUDY.items():
        for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            _trigger(table, event, UNSETTLE.format(study=study.format(row=row), chance=chance))


def _trigger(table: str, event: str, body: str) -> None:
    """`body` for each row of a table, after the event."""
    db, name = op.get_bind(), f"{table}_{event.lower()}_counted"
    if db.dialect.name == "sqlite":
        db.exec_driver_sql(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW BEGIN {body} END")
        return
    function = f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$"
    db.exec_driver_sql(function)
    db.exec_driver_sql(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
