"""Members answer as one: the mean of what they think, and of where they look."""

import numpy as np
import pytest

from cxrnode.finding import Finding, Heatmap
from models.ensemble import combine, mean_map


def looks_at(row: int, peak: float = 1.0, size: int = 4, method: str = "Grad-CAM") -> Heatmap:
    """A map with one bright row."""
    values = np.zeros((size, size), dtype=np.float32)
    values[row] = 1.0
    return Heatmap(values, peak, method)


def test_the_probability_is_the_mean_of_the_members() -> None:
    one, other = Finding(2.0, 0.9, looks_at(0)), Finding(-1.0, 0.5, looks_at(3))
    both = combine([one, other])
    assert both.probability == pytest.approx(0.7)
    assert both.logit == pytest.approx(np.log(0.7 / 0.3))


def test_members_that_are_quite_sure_give_a_finite_logit() -> None:
    assert np.isfinite(combine([Finding(99.0, 1.0, looks_at(0))] * 2).logit)


def test_the_map_shows_where_either_looks_and_most_where_both_do() -> None:
    mean = mean_map([looks_at(0, 2.0), looks_at(0, 4.0), looks_at(3, 6.0)])
    assert mean.values[0] == pytest.approx(1.0)
    assert mean.values[3] == pytest.approx(0.5)
    assert mean.peak == pytest.approx(4.0)


def test_maps_of_two_sizes_meet_on_the_finer() -> None:
    assert mean_map([looks_at(0), looks_at(0, size=8)]).values.shape == (8, 8)


def test_maps_that_say_nothing_stay_silent() -> None:
    nothing = Heatmap(np.zeros((4, 4), dtype=np.float32), 0.0, "Grad-CAM")
    assert not mean_map([nothing, nothing]).values.any()


def test_maps_by_two_methods_have_no_mean() -> None:
    with pytest.raises(ValueError, match="attention rollout"):
        mean_map([looks_at(0), looks_at(0, method="attention rollout")])


def test_a_member_alone_is_heard_as_it_is() -> None:
    alone = Finding(2.0, 0.9, looks_at(0))
    assert combine([alone]) is alone
