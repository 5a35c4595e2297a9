"""`make bench`: every bench there is, its tables on the screen, and all figures with the machine in one file.

`python -m tests.bench [NAME...]`; a bench is a function without arguments that returns its figures.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import latency, million, plans
from tests.bench.figures import Figure, machine

BENCHES: Mapping[str, Callable[[], list[Figure]]] = {
    "million": million.figures,
    "plans": plans.figures,
    "latency": latency.figures,
}
OUT = Path("tests-out")


def main() -> int:
    """Run those that are named, or all; 1 when a figure is not what was promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("benches", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHES)}")
    names = parser.parse_args().benches or list(BENCHES)
    if unknown := set(names) - set(BENCHES):
        parser.error(f"no bench is named {', '.join(sorted(unknown))}; wanted some of: {', '.join(BENCHES)}")
    found = [figure.as_object() for name in names for figure in BENCHES[name]()]
    OUT.mkdir(exist_ok=True)
    told = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "figures": found}
    (OUT / "bench.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    missed = [one for one in found if one["met"] is False]
    for one in missed:
        sys.stdout.write(f"NOT MET: {one['name']}: {one['ours']} {one['unit']}, at most {one['target']} was promised\n")
    sys.stdout.write(f"{len(found)} figures: {OUT / 'bench.json'}\n")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
