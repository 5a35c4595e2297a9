"""`make bench`: every bench there is, its tables on the screen, and all figures with the machine in two files.

`python -m tests.bench [NAME...]`; a bench is a function without arguments that returns its figures. With `--readme` the
figures become those that README tells, in the place of those of the same benches: tests/bench/measured/ and the table.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench import cpu, gpu, latency, maps, million, pixels, plans, receiving, report, sizing, start, worker
from tests.bench.figures import Figure

BENCHES: Mapping[str, Callable[[], list[Figure]]] = {
    "receiving": receiving.figures,
    "pixels": pixels.figures,
    "maps": maps.figures,
    "worker": worker.figures,
    "latency": latency.figures,
    "start": start.figures,
    "gpu": gpu.figures,
    "cpu": cpu.figures,
    "plans": plans.figures,
    "million": million.figures,
}
OUT, README, MEASURED = Path("tests-out"), Path("README.md"), Path("tests/bench/measured")


def main() -> int:
    """Run those that are named, or all; 1 when a figure is not what was promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("benches", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHES)}")
    parser.add_argument("--readme", action="store_true", help="these are the figures that README is to tell")
    asked = parser.parse_args()
    names = asked.benches or list(BENCHES)
    if unknown := set(names) - set(BENCHES):
        parser.error(f"no bench is named {', '.join(sorted(unknown))}; wanted some of: {', '.join(BENCHES)}")
    found: list[Mapping[str, object]] = []
    for name in names:
        sys.stdout.write(f"\n{name}\n")
        sys.stdout.flush()
        found += [{"bench": name} | figure.as_object() for figure in BENCHES[name]()]
        report.write(OUT, found)  # after each, so that a run that breaks off leaves what it found
    sys.stdout.write(f"\n{table(OUT)}\n{len(found)} figures: {OUT / 'bench.json'}\n")
    if asked.readme:
        others = [one for one in kept(MEASURED) if one["bench"] not in names]
        report.write(MEASURED, sorted(others + found, key=lambda one: list(BENCHES).index(str(one["bench"]))))
        told = report.with_table(README.read_text(encoding="utf-8"), table(MEASURED))
        README.write_text(sizing.with_table(told, sizing.markdown(kept(MEASURED))), encoding="utf-8")
    return any(one["met"] is False for one in found)


def kept(folder: Path) -> list[Mapping[str, object]]:
    """The figures in this folder, none where it is not there."""
    path = folder / "bench.json"
    figures: list[Mapping[str, object]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return figures


def table(folder: Path) -> str:
    """The table of the figures in this folder."""
    return report.markdown(kept(folder), json.loads((folder / "machine.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
