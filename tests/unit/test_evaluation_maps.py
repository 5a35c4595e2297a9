"""Measures of maps give the answers that are known beforehand, and their intervals are over patients."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from cxrnode.errors import ModelMismatch
from cxrnode.finding import Finding, Heatmap, MapMethod
from models.evaluation.deletion import STEPS, area, deletion, insertion
from models.evaluation.map_command import lines_of
from models.evaluation.map_quality import FORGETS, Quality, Read, carrying, forgetting, inside, mapped
from models.evaluation.maps import Map, by_chance, centre, mass_inside, rank_correlation, similarity, uniform
from models.evaluation.masked import Masked
from models.evaluation.means import mean_and_interval
from models.evaluation.randomised import Forgotten, forgetful
from models.networks import NETWORKS
from tests.zoo import untrained

SIDE = 40
SQUARE = np.s_[4:14, 20:28]
"""a twentieth of the image: as much as one step takes away"""


def square() -> Map:
    values = np.zeros((SIDE, SIDE), dtype=np.float32)
    values[SQUARE] = 1
    return values


def film() -> Map:
    """A chequered square on grey: blurred or greyed, it is gone."""
    values = np.full((SIDE, SIDE), 0.5, dtype=np.float32)
    values[SQUARE] = np.indices((10, 8)).sum(axis=0) % 2
    return values


def looks_at_square(images: Sequence[Map]) -> NDArray[np.float64]:
    """Sure while the chequers are sharp."""
    return np.array([4.0 * image[SQUARE].var() for image in images])


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_map_that_is_the_mask_is_all_inside() -> None:
    assert mass_inside(square(), square() > 0) == 1
    assert mass_inside(1 - square(), square() > 0) == 0
    assert mass_inside(square() * 0, square() > 0) == 0


def test_an_even_map_gives_the_masks_share_of_the_image() -> None:
    assert mass_inside(uniform(SIDE, SIDE), square() > 0) == pytest.approx(1 / 20)


def test_the_centre_is_in_the_centre() -> None:
    values = centre(41, 61)
    assert np.unravel_index(values.argmax(), values.shape) == (20, 30)
    quarter = np.zeros_like(values, dtype=bool)
    quarter[:21, :31] = True
    assert mass_inside(values, quarter) == pytest.approx(0.25, abs=0.02)


def test_a_map_by_chance_is_coarse_and_another_each_time() -> None:
    chance = generator()
    one, other = by_chance(224, 224, chance), by_chance(224, 224, chance)
    assert np.abs(np.diff(one, axis=0)).max() <= 1 / 32 + 1e-6, "a cell is 32 pixels wide"
    assert rank_correlation(one, other) < 0.5


def test_taking_the_square_a_model_sees_is_the_perfect_deletion() -> None:
    curve = deletion(looks_at_square, film(), square(), generator())
    assert curve == pytest.approx([1] + [0] * STEPS, abs=1e-6)
    assert area(curve) == pytest.approx(0.5 / STEPS)
    worst = deletion(looks_at_square, film(), 1 - square(), generator())
    assert area(worst) == pytest.approx(1 - 0.5 / STEPS)


def test_giving_the_square_back_first_is_the_perfect_insertion() -> None:
    best = insertion(looks_at_square, film(), square(), generator())
    assert best[0] < 0.1, "the blur has taken it"
    assert best[1:] == pytest.approx([1] * STEPS)
    worst = insertion(looks_at_square, film(), 1 - square(), generator())
    assert area(best) > 0.95
    assert area(worst) < 0.1


def test_equal_values_fall_by_chance_not_row_by_row() -> None:
    curve = deletion(looks_at_square, film(), uniform(SIDE, SIDE), generator())
    assert 0.3 < area(curve) < 0.7


def test_the_area_of_a_straight_line_is_a_half() -> None:
    assert area(np.linspace(1, 0, 11)) == pytest.approx(0.5)


def test_rank_correlation_is_spearmans_with_ties_shared() -> None:
    one = np.array([[1, 2, 2], [3, 0, 5]], dtype=np.float32)
    other = np.array([[2, 1, 4], [4, 0, 3]], dtype=np.float32)
    ranks = [[2, 3.5, 3.5, 5, 1, 6], [3, 2, 5.5, 5.5, 1, 4]]
    assert rank_correlation(one, other) == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert rank_correlation(one, -(one**3)) == pytest.approx(1)
    assert rank_correlation(one, one * 0) == 0


def test_similarity_is_one_for_the_same_map_only() -> None:
    one = by_chance(64, 64, generator())
    assert similarity(one, one) == pytest.approx(1)
    assert similarity(one, 1 - one) < 0.2


def test_the_interval_is_over_patients() -> None:
    """Films of one patient that are all alike tell no more than one of them."""
    values = np.array([0.2, 0.4, 0.6, 0.8])
    patients = list("abcd")
    once = mean_and_interval(values, patients)
    assert once[0] == pytest.approx(0.5)
    assert once[1] < 0.35
    assert once[2] > 0.65
    again = mean_and_interval(np.repeat(values, 5), np.repeat(patients, 5).tolist())
    assert again == pytest.approx(once)
    assert mean_and_interval(values, ["a"] * 4)[1:] == pytest.approx((0.5, 0.5))


def test_a_patient_with_more_films_weighs_more() -> None:
    """Two patients, three films: the resamples' means are 0, 1/3 and 1, and nothing between."""
    _, low, high = mean_and_interval(np.array([1.0, 0.0, 0.0]), ["a", "b", "b"])
    assert (low, high) == (0, 1)


@pytest.mark.parametrize("how_much", Forgotten)
def test_what_is_forgotten_is_shuffled_and_the_rest_stays(how_much: Forgotten) -> None:
    network = untrained()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    other = forgetful(network, NETWORKS["mobilenet_v2"].head, how_much, seed=1).state_dict()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    changed = {name for name, value in before.items() if not torch.equal(other[name], value)}
    assert "classifier.1.weight" in changed
    assert ("features.18.0.weight" in changed) is (how_much is not Forgotten.HEAD)
    assert ("features.0.0.weight" in changed) is (how_much is Forgotten.ALL)
    for name in changed:
        assert torch.equal(other[name].flatten().sort().values, before[name].flatten().sort().values)


def test_another_seed_forgets_otherwise_and_the_same_the_same() -> None:
    network = untrained()
    heads = [forgetful(network, "classifier.1", Forgotten.HEAD, seed) for seed in (1, 1, 2)]
    one, same, other = (head.get_parameter("classifier.1.weight") for head in heads)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_head_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelMismatch, match="'fc'"):
        forgetful(nn.Sequential(nn.Linear(2, 1)), "fc", Forgotten.HEAD, seed=0)


def reads(shown: Map) -> Read:
    """A model that looks at the square, and shows `shown` whatever it sees."""

    def read(images: Sequence[Map]) -> list[Finding]:
        found = looks_at_square(images)
        return [Finding(0.0, float(one), Heatmap(shown, 1.0, MapMethod.GRAD_CAM)) for one in found]

    return read


def films(count: int = 3) -> list[Masked]:
    return [Masked(film(), square() > 0, patient=f"p{number}") for number in range(count)]


def test_a_good_model_is_measured_as_good_beside_maps_of_no_model() -> None:
    shown = mapped(reads(square()), films(), 0.5)
    assert all(one.positive for one in shown)
    share = inside("share", shown)
    assert share.values.tolist() == [1, 1, 1]
    assert share.beside["uniform"] == pytest.approx([1 / 20] * 3)
    ticks: list[None] = []
    taken, given, end, start = carrying(reads(square()), shown, 0, lambda: ticks.append(None))
    assert len(ticks) == 9
    assert taken.values == pytest.approx([0.5 / STEPS] * 3)
    assert given.values.min() > 0.95
    for name in ("random", "centre"):
        assert (taken.beside[name] > taken.values).all()
        assert (given.beside[name] < given.values).all()
    assert end.values == pytest.approx([0] * 3, abs=1e-6)
    assert start.values.max() < 0.1


def test_a_map_that_does_not_change_when_all_is_forgotten_is_found_out() -> None:
    shown = mapped(reads(square()), films(), 0.5)
    stubborn = list(forgetting(shown, lambda *_: reads(square()), 0, lambda: None))
    assert [one.metric for one in stubborn][-2:] == ["map_rank_correlation_all_randomised", "map_ssim_all_randomised"]
    assert all(one.values == pytest.approx([1] * 3) for one in stubborn)

    chance = generator()
    asked: list[tuple[Forgotten, int]] = []

    def forgetful_reader(how_much: Forgotten, seed: int) -> Read:
        asked.append((how_much, seed))
        return reads(by_chance(SIDE, SIDE, chance))

    honest = list(forgetting(shown, forgetful_reader, 0, lambda: None))
    assert len(set(asked)) == len(Forgotten) * FORGETS
    assert all(one.values.max() < 0.5 for one in honest)


def test_a_line_says_how_far_the_model_is_ahead() -> None:
    quality = Quality("share", np.array([0.9, 0.7]), {"uniform": np.array([0.5, 0.1])}, ("a", "b"))
    model, beside = lines_of(quality, "films", "test", seed=0)
    assert (model.name, model.gain, model.n, model.n_patients) == ("share", None, 2, 2)
    assert model.value == pytest.approx(0.8)
    assert beside.name == "share_of_uniform"
    assert beside.value == pytest.approx(0.3)
    assert beside.gain == pytest.approx((0.5, 0.4, 0.6))
