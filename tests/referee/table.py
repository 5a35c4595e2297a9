"""What the judges said in this run, as a table at its end: objects, errors and excused warnings by family."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

Line = tuple[str, str, str, str, int, dict[str, int]]
"""family, outcome, object, judge, objections, how often each reason excused a warning"""

PROPERTY = "judged"


def lines_in(reports: Iterable[object]) -> list[Line]:
    """Every line that the tests recorded; they come from other processes."""
    return [
        value
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY and getattr(report, "when", "") == "call"
    ]


def in_words(lines: Sequence[Line]) -> Iterator[str]:
    """The table."""
    objects = {(family, name) for family, _, name, _, _, _ in lines}
    faults = sum(count for *_, count, _ in lines)
    yield f"{len(objects)} objects, {faults} errors"
    yield f"{'family':<14}{'outcome':<16}{'objects':>8}  judges (errors + excused warnings)"
    for family, outcome in sorted({(line[0], line[1]) for line in lines}):
        chosen = [line for line in lines if line[:2] == (family, outcome)]
        said = [_of_judge(judge, chosen) for judge in sorted({line[3] for line in chosen})]
        yield f"{family:<14}{outcome:<16}{len({line[2] for line in chosen}):>8}  {', '.join(said)}"
    reasons: Counter[str] = Counter()
    for *_, excused in lines:
        reasons.update(excused)
    yield from (f"excused {count:>5} x {reason}" for reason, count in sorted(reasons.items()))


def _of_judge(judge: str, lines: Sequence[Line]) -> str:
    of_judge = [line for line in lines if line[3] == judge]
    faults, excused = sum(line[4] for line in of_judge), sum(sum(line[5].values()) for line in of_judge)
    return f"{judge} {faults} + {excused}"
