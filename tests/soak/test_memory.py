"""The rule by which memory is flat, on lives that are flat, warm up, leak, or are too short."""

from collections.abc import Callable

import pytest

from tests.soak.memory import ANALYSIS, DELIVERY, RECEIVER, Life, Memory, Sample


def lived(mb: Callable[[int], float], kind: str = ANALYSIS, samples: int = 200) -> Life:
    return Life(kind, 40, [Sample(float(at), at, mb(at)) for at in range(samples)])


@pytest.mark.parametrize(
    "mb", [lambda _: 300.0, lambda at: 300 + at % 7, lambda at: 300 - 200 / (1 + at), lambda at: 300 - at / 2]
)
def test_what_stays_warms_up_or_shrinks_is_flat(mb: Callable[[int], float]) -> None:
    assert lived(mb).flat


@pytest.mark.parametrize(
    "mb",
    [lambda at: 300 + at, lambda at: 300 + 0.4 * at, lambda at: 20 + 0.2 * at, lambda at: 300 if at < 120 else 340],
)
def test_what_goes_on_growing_is_not_flat(mb: Callable[[int], float]) -> None:
    """A whole soak is seen red by `SOAK_LEAK_MB=1 make soak STUDIES=100`: workers that keep a megabyte of each task."""
    assert not lived(mb).flat


def test_growth_in_the_warm_up_alone_is_none() -> None:
    assert lived(lambda at: 80 if at < 35 else 120).flat


def test_the_slope_is_told_for_each_100_studies() -> None:
    assert lived(lambda at: 300 + 0.4 * at).slope == pytest.approx(40)


def test_a_kind_that_never_lived_long_enough_was_not_measured() -> None:
    lives = {1: lived(lambda _: 80, RECEIVER), 2: lived(lambda _: 300), 3: lived(lambda _: 60, DELIVERY, 140)}

    assert list(Memory(40, 100, lives).broken()) == [f"memory: no {DELIVERY} lived for 100 studies"]
