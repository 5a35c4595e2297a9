"""`python -m tests.writer URL GO STUDIES`: a process that notes, closes and leases what another does at the same time.

It opens the ledger once the file GO is there, and prints how much of each was its own, with the keys of its leases.
"""

import json
import sys
import time
from datetime import timedelta
from pathlib import Path

from cxrnode.ledger import Ledger, arrivals, work
from cxrnode.receipt import Receipt
from tests.ledgers import LEASE_S, QUIET_S, T0

IMAGES = 2
"""of each study"""


def receipts(study: int) -> list[Receipt]:
    """The same for every process."""
    uids = [f"1.2.{study}.{image}" for image in range(IMAGES)]
    came = ("1.2", "0" * 64, 1, "A", "B", "::1", "1", T0.isoformat())
    return [Receipt(f"{study:016}{n:016}", uid, "1.2", f"1.9.{study}", *came) for n, uid in enumerate(uids)]


def main() -> None:
    """Write, as the arguments say."""
    url, go, studies = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    while not go.exists():
        time.sleep(0.01)
    ledger, new, closed, leased = Ledger(url), 0, 0, []
    now = T0 + timedelta(seconds=QUIET_S)
    for study in range(studies):
        new += arrivals.note(ledger, receipts(study))
        closed += arrivals.close_settled(ledger, QUIET_S, now)
        for task in work.due(ledger, now, {}):
            leased += [held.task_key for held in work.lease(ledger, task.task_key, now, LEASE_S)]
    sys.stdout.write(json.dumps({"new": new, "closed": closed, "leased": leased}))


if __name__ == "__main__":
    main()
