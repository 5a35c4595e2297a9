"""What machine a hospital needs, by the figures that were measured: the table under *Sizing* in README."""

import re
from collections.abc import Mapping, Sequence

BEGIN, END = "<!-- sizing -->", "<!-- /sizing -->"
HOUR = 3600
FILM_MB = 2500 * 2048 * 2 / 1e6


def markdown(found: Sequence[Mapping[str, object]]) -> str:
    """The table of what an hour holds, of bench.json's figures."""
    raw, compressed = (_ours(found, f"worker: one study of one {name} film") for name in ("raw", "JPEG 2000"))
    two, one = (_of(found, "worker: two workers on two cores", which) for which in ("ours", "reference"))
    taken = _ours(found, "receiving: 4 senders of 10 MB, beside Orthanc, as they come")
    lines = {
        "analysed by one core, raw films": raw,
        "analysed by one core, JPEG 2000 films": compressed,
        "through the queue, one worker on one core": one,
        "through the queue, two workers on two cores, which the queue shares": two,
        f"films of {FILM_MB:.0f} MB received on two cores, four senders at once": taken,
    }
    rows = [f"| {what} | {_round(rate * HOUR)} |" for what, rate in lines.items()]
    return "\n".join(["| studies of one film of 2500 x 2048 an hour | |", "| --- | --- |", *rows])


def with_table(readme: str, table: str) -> str:
    """README with this table in the place of the one before."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _found: f"{BEGIN}\n{table}\n{END}", readme)


def _round(value: float) -> str:
    return f"{round(value, -3):,.0f}"


def _ours(found: Sequence[Mapping[str, object]], begins: str) -> float:
    return _of(found, begins, "ours")


def _of(found: Sequence[Mapping[str, object]], begins: str, which: str) -> float:
    value = next(one[which] for one in found if str(one["name"]).startswith(begins))
    if not isinstance(value, float):
        raise TypeError(f"{begins}: {which} is {value!r}; wanted a figure that was measured")
    return value
