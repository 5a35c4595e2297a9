"""The tables of the running count: the sums, each finished study's share of them, and the studies that are in none.

A study whose rounds are all finished is settled: its instances are counted in `tallies`, and `shares` has how many of
them are where. Triggers (revision r1_0006) keep the sums equal to the shares. Others unsettle a study in the very
transaction that writes anything of it that the count reads, whoever writes, an older program too: its shares are taken
out of the sums, and it is counted anew each time, until it is settled again.
"""

from sqlalchemy import Column, ForeignKey, Integer, Table

from cxrnode.ledger.columns import String, Utc
from cxrnode.ledger.tables import KEY, metadata

unsettled = Table(
    "unsettled",
    metadata,
    Column("study_key", KEY, ForeignKey("studies.key"), primary_key=True),
    Column("version", Integer, nullable=False),  # grows with whatever is written of the study
)

shares = Table(
    "shares",
    metadata,
    Column("study_key", KEY, ForeignKey("studies.key"), primary_key=True),
    Column("place", String(64), primary_key=True),
    Column("outcome", String(16), primary_key=True),
    Column("instances", Integer, nullable=False),
)

tallies = Table(
    "tallies",
    metadata,
    Column("place", String(64), primary_key=True),
    Column("outcome", String(16), primary_key=True),
    Column("instances", Integer, nullable=False),
)

keeps = Table(  # beside `shares`: the settled studies that may be purged, and when the last thing happened to each
    "keeps",
    metadata,
    Column("study_key", KEY, ForeignKey("studies.key"), primary_key=True),
    Column("since", Utc, nullable=False, index=True),
)
