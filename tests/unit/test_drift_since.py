"""What drift is held against can be made anew: by a day in the settings, and by another reference on the card."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cxrnode.commands import lookout
from cxrnode.errors import SettingsError
from cxrnode.finding import Reference
from cxrnode.ledger import mixes
from cxrnode.metrics.quality import of_drift
from cxrnode.settings import Settings, load
from cxrnode.stability import Aspect, Level
from tests.ledgers import Bench

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
CHILDREN = Reference("validation split, 100 films of children", (25, *[0] * 8, 75))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A clinic whose films are not those of the card: 30 a day, one in ten positive."""
    made = Bench(tmp_path)
    for day in range(30):
        read(made, CHILDREN, NOW - timedelta(days=29 - day))
    yield made
    made.ledger.close()


def read(bench: Bench, reference: Reference, now: datetime, low: int = 27, high: int = 3, card: str = "d1") -> None:
    with bench.ledger.writing() as db:
        mix = {(Aspect.PROBABILITY, "0"): low, (Aspect.PROBABILITY, "9"): high}
        mixes.count(db, card, "m 1", mix, reference, now)


def level(bench: Bench, now: datetime = NOW, **drift: object) -> tuple[Level, str]:
    settings = Settings(drift={"images": 100} | drift)  # type: ignore[arg-type]  # as a file gives it
    (found,) = [one for one in lookout.look_out(settings, bench.ledger, now).drifts if one[0].aspect == "probability"]
    _, levels = of_drift(settings, bench.ledger, now)
    told = {one.labels["aspect"]: one.value for one in levels.samples}["probability"]
    assert told == (2 if found[1] is Level.ALARM else 0)
    return found[1], found[0].reference


def test_an_alarm_that_was_looked_at_ends_by_the_day_from_which_all_is_as_it_should_be(bench: Bench) -> None:
    """Red when `since` is not asked: an alarm that goes on for ever hides every other change."""
    assert level(bench)[0] is Level.ALARM

    assert level(bench, since="2026-03-10") == (
        Level.STABLE,
        "the first 120 images in service, 2026-03-10 to 2026-03-13",
    )


def test_what_changes_after_that_day_is_an_alarm_again(bench: Bench) -> None:
    for day in range(1, 5):
        read(bench, CHILDREN, NOW + timedelta(days=day), low=5, high=25)

    assert level(bench, NOW + timedelta(days=4), since="2026-03-10")[0] is Level.ALARM


def test_a_card_whose_reference_was_made_anew_is_held_against_that(bench: Bench) -> None:
    """Red when the one that came first is kept for ever."""
    own = Reference("validation split, 100 films of this clinic", (90, *[0] * 8, 10))

    read(bench, own, NOW)

    assert level(bench) == (Level.STABLE, "the card's validation split, 100 films of this clinic")


def test_of_two_routes_at_prevalences_of_their_own_the_one_that_reads_most_is_told_at_night_too(bench: Bench) -> None:
    """Red when whichever read last is: the alarm would end at midnight, and begin again in the morning."""
    for day in range(30):
        read(bench, CHILDREN, NOW - timedelta(days=29 - day), low=1, high=3, card="d2")
    assert level(bench)[0] is Level.ALARM

    read(bench, CHILDREN, NOW + timedelta(days=1), low=1, high=3, card="d2")

    assert level(bench, NOW + timedelta(days=1))[0] is Level.ALARM


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('since = "2026-13-01"', r"drift\.since"),
        ("images = 60", r"images = 60 .* by chance alone.* wanted 73 or more"),
        ("images = 200\nwatch = 0.01\nalarm = 0.05", r"wanted 361 or more"),
    ],
)
def test_a_day_that_is_none_and_an_alarm_that_chance_alone_would_give_are_faults(
    tmp_path: Path, line: str, fault: str
) -> None:
    """Red when so few images are taken that the index of ten bins is above the alarm where nothing has moved."""
    path = tmp_path / "node.toml"
    path.write_text(f"[drift]\n{line}\n", encoding="utf-8")

    with pytest.raises(SettingsError, match=fault):
        load(path)
