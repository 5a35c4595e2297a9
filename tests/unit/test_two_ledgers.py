"""Two ledgers open in one process: SQLite keeps its locks whatever this program does with the file."""

import subprocess
import sys
from pathlib import Path

from sqlalchemy import select

from cxrnode.ledger import Ledger
from cxrnode.ledger.tables import studies

LOOK = """
import sys
from sqlalchemy import select
from cxrnode.ledger import Ledger
from cxrnode.ledger.tables import studies
ledger = Ledger(sys.argv[1])
with ledger.reading() as db:
    print(*sorted(db.execute(select(studies.c.key)).scalars()))
ledger.close()
"""


def test_what_the_first_writes_is_seen_by_others_after_a_second_was_opened(tmp_path: Path) -> None:
    """Red when the file is opened and closed beside SQLite, which drops the locks of the first one's connections.

    The other process then takes itself for the last, deletes the write-ahead log, and the first writes into nowhere.
    """
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    first, second = Ledger(url), Ledger(url)

    def write(key: str) -> None:
        with first.writing() as db:
            db.execute(studies.insert().values(key=key, study_instance_uid=key))

    def seen() -> str:
        done = subprocess.run([sys.executable, "-c", LOOK, url], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    write("a")
    with second.reading() as db:
        assert db.execute(select(studies.c.key)).scalar() == "a"
    seen()
    write("b")

    assert seen() == "a b"
    first.close()
    second.close()
