"""What a soak tells: a page of text, tests-out/soak.json with the same figures, and the memory as a plot."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.soak.memory import Life, Memory

OUT = Path("tests-out")


@dataclass(frozen=True)
class Summary:
    """The end of a soak."""

    seed: str
    studies: int
    senders: int
    minutes: float
    """from the first study to rest"""
    traffic: dict[str, int]
    faults: dict[str, int]
    outcomes: dict[str, int]
    """instances by place and outcome, as `cxrnode status` counts them"""
    lost: int
    doubled: int
    sent_again: int
    """objects that the archive was sent again; `again` is how many answers may have been lost"""
    again: int
    quarantined: list[str]
    """why, of each that waited for a person before `cxrnode retry --failed`"""
    broken: list[str]


def tell(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def told(summary: Summary, memory: Memory, moments: Sequence[tuple[float, str]]) -> None:
    """Print it and write soak.json and soak.png."""
    OUT.mkdir(exist_ok=True)
    lives = [_figures(life) for life in memory.judged]
    (OUT / "soak.json").write_text(json.dumps(asdict(summary) | {"memory": lives}, indent=2) + "\n", encoding="utf-8")
    plot(memory, moments, OUT / "soak.png")
    rate = summary.studies / summary.minutes
    tell(f"soak: seed {summary.seed}, {summary.studies} studies from {summary.senders} senders")
    tell(f"  {summary.minutes:.1f} minutes, {rate:.0f} studies a minute")
    for title, counted in (("sent", summary.traffic), ("went wrong", summary.faults), ("became", summary.outcomes)):
        tell(f"  {title}: " + ", ".join(f"{count} {name}" for name, count in counted.items()))
    tell(f"  {sum(summary.faults.values())} faults, {len(summary.quarantined)} studies waited for a person")
    for reason, count in Counter(summary.quarantined).items():
        tell(f"    {count}: {reason}")
    for life in memory.judged:
        tell(f"  {life}")
    tell(f"  {len(memory.lives)} processes lived, {len(lives)} of them long enough to be judged")
    tell(f"  sent again: {summary.sent_again} objects, of which the answers of {summary.again} may have been lost")
    tell(f"  {summary.lost} lost, {summary.doubled} doubled; {'BROKEN' if summary.broken else 'the promise holds'}")
    for line in summary.broken:
        tell(f"    {line}")


def plot(memory: Memory, moments: Sequence[tuple[float, str]], file: Path) -> None:
    """Each process's memory over the minutes, a panel a kind, and a grey line at each fault."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    kinds = sorted({life.kind for life in memory.lives.values()})
    figure, panels = plt.subplots(len(kinds), 1, sharex=True, figsize=(10, 2.2 * len(kinds)), squeeze=False)
    for panel, kind in zip(panels[:, 0], kinds, strict=True):
        for at, _ in moments:
            panel.axvline(at / 60, color="0.88", linewidth=0.7, zorder=0)
        for life in memory.lives.values():
            if life.kind == kind:
                panel.plot([one.seconds / 60 for one in life.samples], [one.mb for one in life.samples], linewidth=1)
        panel.set_title(kind, loc="left", fontsize=9)
        panel.set_ylabel("MB")
        panel.set_ylim(0, 1.15 * panel.dataLim.ymax)
    panels[-1, 0].set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _figures(life: Life) -> dict[str, object]:
    first, last = life.thirds
    figures: dict[str, object] = {"kind": life.kind, "samples": len(life.samples), "flat": life.flat}
    return figures | {
        "first_mb": round(first, 1),
        "last_mb": round(last, 1),
        "mb_per_100_studies": round(life.slope, 2),
    }
