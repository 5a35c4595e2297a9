"""A ledger that looks like one after years of service: finished studies by the million, written without the node.

Of every hundred studies five had a late image (half of those rounds said nothing new), three were refused, twenty were
positive; every third was replayed. What is older than KEEP_DAYS is purged, but for the last FEW. Rows come in the order
of time, under random keys.
"""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import psycopg
from sqlalchemy import inspect, make_url

from cxrnode.ledger import Ledger
from cxrnode.ledger.tables import metadata

KEEP_DAYS, TIME_OF_ALL = 365.0, timedelta(days=730)
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
ROLES = {
    "negative": ("report", "overlay"),
    "positive": ("report", "overlay", "segmentation", "presentation", "keyobjects"),
    "refused": ("report",),
}
CHUNK, FEW = 5_000, 40
REPLAY = "0" * 32
Rows = dict[str, list[tuple[object, ...]]]
COLUMNS = {
    "studies": "key study_instance_uid",
    "rounds": "key study_key number lane state last_received_at closed_at analysed_at finished_at outcome model"
    " stages_ms",
    "instances": "key study_key kind first_round sop_instance_uid sop_class_uid sha256 size calling_ae address"
    " association received_at",
    "readings": "round_key instance_key outcome reason probability",
    "routings": "round_key route prevalence",
    "gists": "round_key gist stands_on",
    "cards": "round_key digest operating_point",
    "completions": "round_key reason expected received at",
    "questions": "round_key ae_title asked asked_at ask_at said expected",
    "tasks": "key work round_key destination lane state attempts fence created_at due_at submitted_at last_error",
    "objects": "sop_instance_uid round_key role sop_class_uid series_instance_uid file sha256",
    "deliveries": "sop_instance_uid destination fate status reason attempts at",
    "transactions": "uid round_key destination number asked_at reported_at concluded_at",
    "commitments": "transaction_uid sop_instance_uid committed_at failure",
    "withdrawals": "round_key reason at",
    "replays": "key request head model send again made_at finished_at",
    "planned": "replay_key number study_instance_uid entry step attempts due_at sender round_key verdict reason at",
    "replayed": "round_key replay_key model send",
    "purges": "instance_key round_key keep_days at removed_at",
}


def fill(url: str, studies: int, seed: int = 1) -> int:
    """Fill a new ledger with finished studies, as it would be just after an upgrade; how many instances that is."""
    ledger = Ledger(url)
    with ledger.reading() as db:
        there = set(inspect(db).get_table_names())
    ledger.close()
    wanted = {name: columns.split() for name, columns in COLUMNS.items() if name in there}
    write = _sqlite if url.startswith("sqlite") else _postgresql
    return write(url, _chunks(studies, Random(seed)), wanted)


def _chunks(studies: int, random: Random) -> Iterator[Rows]:
    started, step = NOW - TIME_OF_ALL, TIME_OF_ALL / studies
    for first in range(0, studies, CHUNK):
        rows: Rows = {name: [] for name in COLUMNS}
        if not first:
            rows["replays"].append((REPLAY, "", "{}", "", 1, 0, _at(started), _at(NOW)))
        for number in range(first, min(first + CHUNK, studies)):
            at = started + number * step
            _study(rows, number, at, random, purged=at < NOW - timedelta(days=KEEP_DAYS) - FEW * step)
        yield rows


def _key(random: Random) -> str:
    return f"{random.getrandbits(128):032x}"


def _uid(random: Random) -> str:
    return f"2.25.{random.getrandbits(120)}"


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"


def _study(rows: Rows, number: int, at: datetime, random: Random, *, purged: bool) -> None:
    study, uid, chance = _key(random), _uid(random), random.random()
    outcome = "refused" if chance < 0.03 else "positive" if chance < 0.23 else "negative"
    rows["studies"].append((study, uid))
    images = random.choices((1, 2, 3), (75, 20, 5))[0]
    first = _round(rows, study, 1, images, outcome, at, random, None)
    latest = first
    if random.random() < 1 / 3:
        rows["replayed"].append((first, REPLAY, "", 1))
        planned = (
            f'{{"study": "{uid}", "instances": {images}}}',
            "done",
            1,
            _at(at),
            "RAD1",
            first,
            outcome,
            "",
            _at(at),
        )
        rows["planned"].append((REPLAY, number, uid, *planned))
    if random.random() < 0.05:
        stands_on = first if random.random() < 0.5 else None
        latest = _round(rows, study, 2, 1, outcome, at + timedelta(hours=1), random, stands_on)
    if random.random() < 0.001:
        rows["withdrawals"].append((first, "read by a model that was withdrawn", _at(at + timedelta(days=1))))
    if purged:
        gone = _at(at + timedelta(days=KEEP_DAYS))
        mine = [row[0] for row in rows["instances"][-4:] if row[1] == study]
        rows["purges"] += [(key, latest, KEEP_DAYS, gone, gone) for key in mine]


def _round(
    rows: Rows, study: str, number: int, images: int, outcome: str, at: datetime, random: Random, stands_on: str | None
) -> str:
    key = _key(random)
    came, closed, read, ended = (_at(at + timedelta(seconds=s)) for s in (0, 20, 22, 40))
    times = (came, closed, read, ended)
    stages = '{"read": 12.0, "decode": 80.1, "model": 41.7, "explain": 44.0, "results": 310.2, "deliver pacs": 95.0}'
    rows["rounds"].append((key, study, number, "live", "finished", *times, outcome, "lite0 1.2.0", stages))
    for _ in range(images):
        instance = _key(random)
        came_from = ("RAD1", "10.1.2.3", f"{random.getrandbits(64):016x}", came)
        what = (_uid(random), "1.2.840.10008.5.1.4.1.1.1.1", f"{random.getrandbits(256):064x}", 9_000_000)
        rows["instances"].append((instance, study, "source", number, *what, *came_from))
        probability = None if outcome == "refused" else random.random()
        reason = "not a frontal projection: View Position is LL" if outcome == "refused" else ""
        rows["readings"].append((key, instance, outcome, reason, probability))
    rows["routings"].append((key, "chest", 0.05))
    rows["gists"].append((key, f"{random.getrandbits(256):064x}", stands_on))
    rows["cards"].append((key, f"{random.getrandbits(256):064x}", 0.5))
    rows["completions"].append((key, "complete", images, images, closed))
    rows["questions"].append((key, "RAD1", 1, closed, ended, "a count", images))
    rows["tasks"].append((_key(random), "analyse", key, "", "live", "done", 1, 1, closed, closed, closed, ""))
    if stands_on is None:
        _sent(rows, key, outcome, times, random)
    return key


def _sent(rows: Rows, round_key: str, outcome: str, times: tuple[str, str, str, str], random: Random) -> None:
    _, _, read, ended = times
    fate = "refused" if random.random() < 0.002 else "committed"
    for work in ("deliver", "commit"):
        rows["tasks"].append((_key(random), work, round_key, "pacs", "live", "done", 1, 1, read, read, read, ""))
    transaction = _uid(random)
    rows["transactions"].append((transaction, round_key, "pacs", 1, read, ended, ended))
    for number, role in enumerate(ROLES[outcome]):
        uid = _uid(random)
        digest = f"{random.getrandbits(256):064x}"
        kinds = ("1.2.840.10008.5.1.4.1.1.88.34", f"2.25.{number}{round_key[:8]}")
        rows["objects"].append((uid, round_key, role, *kinds, f"{role}-1", digest))
        rows["deliveries"].append((uid, "pacs", fate, 0, "", 1, ended))
        if fate == "committed":
            rows["commitments"].append((transaction, uid, ended, None))


def _sqlite(url: str, chunks: Iterator[Rows], wanted: dict[str, list[str]]) -> int:
    path = Path(str(make_url(url).database))
    db, instances = sqlite3.connect(path, isolation_level=None), 0
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-3000000", "foreign_keys=OFF"):
        db.execute(f"PRAGMA {pragma}")
    later = db.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    ).fetchall()
    for kind, name, _ in later:
        db.execute(f"DROP {kind} {name}")
    for rows in chunks:
        db.execute("BEGIN")
        for name, columns in wanted.items():
            marks = ", ".join("?" * len(columns))
            db.executemany(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", rows[name])  # noqa: S608  ours
        db.execute("COMMIT")
        instances += len(rows["instances"])
    for _, _, statement in sorted(later):
        db.execute(statement)
    _unsettle_all(db)
    db.close()
    return instances


def _postgresql(url: str, chunks: Iterator[Rows], wanted: dict[str, list[str]]) -> int:
    instances = 0
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("SET session_replication_role = replica")  # neither triggers nor foreign keys, for this session
        for rows in chunks:
            with db.transaction():
                for name, columns in wanted.items():
                    with db.cursor().copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN") as copy:  # type: ignore[arg-type]
                        for row in rows[name]:
                            copy.write_row(row)
            instances += len(rows["instances"])
        _unsettle_all(db)
        db.execute("VACUUM ANALYZE")
    return instances


def _unsettle_all(db: "sqlite3.Connection | psycopg.Connection[tuple[object, ...]]") -> None:
    """What the revision does that begins to keep the account."""
    if "unsettled" in metadata.tables:
        db.execute("INSERT INTO unsettled SELECT key, 0 FROM studies")
