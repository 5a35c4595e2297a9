"""How a replay is watched: bars with rate and time left on a terminal, else a line or a JSON object a minute."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from cxrnode.ledger.replaytables import Step
from cxrnode.plans.plan import Verdict
from cxrnode.replay.standing import Standing

EVERY = timedelta(minutes=1)
Show = Callable[[Standing, datetime], None]


class Rate(ProgressColumn):
    """Studies a minute."""

    def render(self, task: Task) -> Text:
        """Of the last half minute, as rich measures it."""
        return Text(f"{task.speed * 60:.0f}/min" if task.speed else "", style="progress.data.speed")


@contextmanager
def shown(standing: Standing, *, as_json: bool) -> Iterator[Show]:
    """A function that is to be told where the replay stands, and the time, as often as one likes."""
    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield _by_line(as_json=as_json)
        return
    columns = (TextColumn("{task.description:14}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[waits]}", style="yellow"), console=console) as progress:
        fetched = progress.add_task("fetched", total=standing.total, completed=_fetched(standing), waits="")
        concluded = progress.add_task(
            "read and sent", total=standing.total, completed=standing.steps[Step.DONE], waits=""
        )

        def show(standing: Standing, _now: datetime) -> None:
            progress.update(fetched, completed=_fetched(standing), waits=standing.waits)
            progress.update(concluded, completed=standing.steps[Step.DONE])

        yield show


def line(standing: Standing) -> str:
    """Where a replay stands, in one line."""
    verdicts = in_words(standing.verdicts)
    told = f"{standing.steps[Step.DONE]} of {standing.total} studies done"
    told += f" ({verdicts})" if verdicts else ""
    told += f"; {standing.steps[Step.FETCHING]} being fetched, {standing.steps[Step.READING]} being read or sent"
    return told + (f"; {standing.waits}" if standing.waits else "")


def in_words(verdicts: Mapping[Verdict, int]) -> str:
    """How many studies have which verdict."""
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()) if count)


def as_object(standing: Standing) -> dict[str, object]:
    """The same for machines."""
    return {
        "studies": standing.total,
        "steps": {step: standing.steps[step] for step in Step},
        "verdicts": {verdict: count for verdict, count in sorted(standing.verdicts.items()) if count},
        "read_before": standing.read_before,
        "waits": standing.waits,
    }


def _fetched(standing: Standing) -> int:
    return standing.total - standing.steps[Step.WAITING] - standing.steps[Step.FETCHING]


def _by_line(*, as_json: bool) -> Show:
    told_at: datetime | None = None
    console = Console(stderr=True, soft_wrap=True)

    def show(standing: Standing, now: datetime) -> None:
        nonlocal told_at
        if told_at is not None and now < told_at + EVERY:
            return
        told_at = now
        if as_json:
            print(json.dumps({"progress": as_object(standing)}), flush=True)
        else:
            console.print(f"{now.astimezone():%H:%M} {line(standing)}", markup=False, highlight=False)

    return show
