"""What a plan comes to and how it ended, for people as tables, for machines as JSON."""

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from cxrnode.plans.plan import Verdict
from cxrnode.replay.estimate import Estimate
from cxrnode.replay.standing import Standing


def show_estimate(found: Estimate, *, as_json: bool) -> None:
    """Print what a plan comes to."""
    if as_json:
        duration_s = None if found.duration is None else found.duration.total_seconds()
        told = vars(found) | {"to_read": found.to_read, "duration": None, "duration_s": duration_s}
        told.pop("duration")
        print(json.dumps({"plan": told}), flush=True)
        return
    table = Table("studies", "", title="Plan", show_header=False)
    table.add_row("of the plan", str(found.studies))
    for verdict, count in sorted(found.decided.items()):
        table.add_row(f"{verdict} already while it was made", str(count))
    table.add_row("read before by a model of the same card", str(found.read_before))
    table.add_row("to be read", str(found.to_read))
    table.add_section()
    table.add_row("images of those", str(found.images))
    table.add_row("bytes of those", _size(found))
    table.add_row("time", _duration(found.duration))
    Console().print(table)


def show_verdicts(counts: Counter[Verdict], standing: Standing, path: Path, *, as_json: bool) -> None:
    """Print how a plan ended; `counts` are those of the verdict file at `path`."""
    balanced = counts.total() == standing.total
    if as_json:
        told = {"verdicts": counts, "studies": standing.total, "balanced": balanced, "file": str(path)}
        print(json.dumps(told | {"read_before": standing.read_before}), flush=True)
        return
    table = Table("verdict", "studies", title="How each study ended")
    for verdict in Verdict:
        if counts[verdict]:
            table.add_row(verdict, str(counts[verdict]))
    table.add_section()
    table.add_row("the plan" if balanced else "the plan: DOES NOT BALANCE", str(standing.total))
    console = Console()
    console.print(table)
    console.print(f"Verdicts: {path}", highlight=False, soft_wrap=True)


def _size(found: Estimate) -> str:
    if found.size is None:
        return "unknown: the source does not tell, and the node has seen no image yet"
    told = "" if found.size_is_told else ", by the mean of the images that the node knows"
    return f"{decimal(found.size)}{told}"


def _duration(duration: timedelta | None) -> str:
    if duration is None:
        return "unknown: the node has read nothing yet"
    return f"about {duration} of open windows, by the studies that were read here and the pace asked for"
