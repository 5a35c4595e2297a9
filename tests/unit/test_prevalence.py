"""Prevalence: the prior shift by its formula and on a simulated population, and what carries it into a result."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cxrnode.errors import ModelMismatch
from cxrnode.finding import Algorithm, Finding, Outcome
from cxrnode.results.banner import banner_for
from cxrnode.results.readback import content_item, image_results, named
from cxrnode.results.report import build_report
from cxrnode.settings.language import load_words
from models.calibrate import at_prevalence
from models.card import load_card
from models.reader import load
from tests.builders import make_cxr
from tests.readings import analysed, context_for, written
from tests.zoo import write_folder

FRACTIONS = st.floats(0.001, 0.999)


@given(probability=FRACTIONS, card=FRACTIONS, site=FRACTIONS)
def test_the_odds_are_multiplied_by_the_ratio_of_the_prior_odds(probability: float, card: float, site: float) -> None:
    shifted = at_prevalence(probability, card, site)

    wanted = odds(probability) * odds(site) / odds(card)
    assert odds(shifted) == pytest.approx(wanted, rel=1e-9)
    assert at_prevalence(shifted, site, card) == pytest.approx(probability, rel=1e-9)


def test_a_worked_example_by_hand() -> None:
    # 0.90 where half the films are ill: odds 9. One in twenty ill: prior odds 1/19, so odds 9/19 and 9/28.
    assert at_prevalence(0.9, 0.5, 0.05) == pytest.approx(9 / 28, rel=1e-12)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certainty_is_not_shaken(probability: float) -> None:
    assert at_prevalence(probability, 0.74, 0.001) == probability


@pytest.mark.parametrize(("card", "site"), [(0.0, 0.1), (1.0, 0.1), (0.7, 0.0), (0.7, 1.0), (0.7, math.nan)])
def test_a_prevalence_of_none_or_all_cannot_be_shifted(card: float, site: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        at_prevalence(0.5, card, site)


@given(probability=FRACTIONS, point=FRACTIONS, card=FRACTIONS, site=FRACTIONS)
def test_what_was_positive_is_positive_wherever_it_is_shifted_to(
    probability: float, point: float, card: float, site: float
) -> None:
    assume(probability == point or abs(probability - point) > 1e-12)

    shifted = at_prevalence(probability, card, site)

    assert (shifted >= at_prevalence(point, card, site)) == (probability >= point)


def test_in_a_simulated_population_the_shifted_probability_is_the_share_of_the_ill_and_the_unshifted_is_not() -> None:
    card, site, people = 0.74, 0.05, 400_000
    generator = np.random.default_rng(7)
    ill = generator.random(people) < site
    sign = generator.normal(np.where(ill, 1.0, -1.0), 1.0)  # a finding: normal in each class, one apart from nought
    at_card = 1 / (1 + np.exp(-(2 * sign + math.log(odds(card)))))  # Bayes, for whoever believes the card's prevalence
    shifted = np.array([at_prevalence(float(one), card, site) for one in at_card])

    for low, high in ((0.0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 1.0)):
        inside = (shifted >= low) & (shifted < high)
        share, error = ill[inside].mean(), 4 * math.sqrt(0.25 / inside.sum())
        assert shifted[inside].mean() == pytest.approx(share, abs=min(error, 0.02))
        assert at_card[inside].mean() > share + 0.05
    assert shifted.mean() == pytest.approx(site, abs=0.003)
    assert at_card.mean() > 0.2


def test_a_reader_at_a_sites_prevalence_shifts_each_probability_and_keeps_each_verdict(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "toy")
    films = list(np.random.default_rng(1).random((6, 60, 50)).astype(np.float32))
    of_card, of_site = load(folder, "cpu"), load(folder, "cpu", prevalence=0.05)

    at_card, at_site = of_card.read(films), of_site.read(films)

    probabilities = [finding.probability for finding in at_card if isinstance(finding, Finding)]
    assert [finding.probability for finding in at_site if isinstance(finding, Finding)] == [
        at_prevalence(probability, 0.7, 0.05) for probability in probabilities
    ]
    assert [one.logit for one in at_card if isinstance(one, Finding)] == [
        one.logit for one in at_site if isinstance(one, Finding)
    ]
    assert (of_card.algorithm.prevalence, of_card.algorithm.card_prevalence) == (0.7, None)
    assert (of_site.algorithm.prevalence, of_site.algorithm.card_prevalence) == (0.05, 0.7)
    assert of_site.algorithm.operating_point == pytest.approx(at_prevalence(0.5, 0.7, 0.05))
    assert of_site.at(None).read(films[:1])[0].probability == probabilities[0]


def test_another_prevalence_is_another_digest_another_device_and_so_another_uid(tmp_path: Path) -> None:
    card = load_card(write_folder(tmp_path / "toy"))
    algorithms = [card.algorithm(), *(card.algorithm(prevalence) for prevalence in (0.7, 0.05, 0.050001))]

    assert len({algorithm.digest for algorithm in algorithms}) == 4
    assert len({algorithm.device_uid for algorithm in algorithms}) == 4
    assert algorithms[0].digest == card.digest


def test_a_card_whose_films_are_all_ill_cannot_be_shifted_and_says_so(tmp_path: Path) -> None:
    calibration = {"temperature": 1.5, "prevalence": 1.0, "fitted_on": "nothing"}
    folder = write_folder(tmp_path / "toy", calibration=calibration)

    with pytest.raises(ModelMismatch, match=r"toy has no probabilities at a prevalence of 0\.05.*is 1\.0"):
        load(folder, "cpu", prevalence=0.05)


def test_report_and_overlay_say_whose_prevalence_the_probability_holds_for(tmp_path: Path) -> None:
    source = make_cxr()
    of_card = context_for(source)
    site = replace(of_card.algorithm, prevalence=0.004, operating_point=0.002, card_prevalence=0.74)
    of_site = replace(of_card, algorithm=site)
    reading = replace(analysed(source, 0.003), outcome=Outcome.POSITIVE)

    said = {}
    for name, context in (("card", of_card), ("site", of_site)):
        report = written(build_report([source], [reading], context), tmp_path / f"{name}.dcm")
        assert [result.probability for result in image_results(report)] == [0.003]
        tree = content_item(report)
        said[name] = [item.value for kind in ("Comment", "Algorithm Parameters") for item in named(tree, kind)]

    assert {"prevalence = 0.74", "prevalence set by = the card", "training prevalence = 0.74"} <= set(said["card"])
    assert {"prevalence = 0.004", "prevalence set by = the site", "training prevalence = 0.74"} <= set(said["site"])
    assert any("74.0% of the images show pneumonia, as in training" in sentence for sentence in said["card"])
    assert any("0.4% of the images show pneumonia, as this site has set" in sentence for sentence in said["site"])
    assert "holds at 74.0% prevalence, as in training" in banner_words(of_card.algorithm)
    assert "holds at 0.4% prevalence, as this site has set" in banner_words(site)


def banner_words(algorithm: Algorithm) -> str:
    return " ".join(line for line, _ in banner_for(analysed(make_cxr()), algorithm, load_words("en")).lines)


def odds(probability: float) -> float:
    return probability / (1 - probability)
