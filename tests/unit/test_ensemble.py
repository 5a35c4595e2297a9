"""Members answer as one: the mean of what they think, and of where they look."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from cxrnode.errors import ModelMismatch, TrainingError
from cxrnode.finding import Finding, Heatmap
from models.calibrate import at_prevalence
from models.card import load_card
from models.ensemble import Ensemble, combine, load_model, mean_map
from models.ensemblecard import Cast, card_of
from models.evaluation import measure
from models.evaluation.cast import make_ensemble
from models.evaluation.run import Prediction, Run, read_run, write_run
from models.reader import load
from tests.zoo import untrained, write_folder

NOW = datetime(2026, 3, 4, tzinfo=UTC)
FILM = np.random.default_rng(0).random((60, 50), dtype=np.float32)


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


def write_member(zoo: Path, name: str, seed: int, **changes: object) -> Path:
    """A member that loads, with a run folder whose answers lean on its seed."""
    folder = write_folder(zoo / name, untrained(seed=seed), name=name, **changes)
    given = np.random.default_rng(seed).random(16)
    run = Run(
        name=name, architecture="mobilenet_v2", start="scratch", date="2026", films="made-up", operating_point=0.5
    )
    predictions = [
        Prediction("made-up", split, f"{split}-{n}", n % 2, f"p{n // 2}", 0.0, float(0.4 * given[n] + 0.5 * (n % 2)))
        for split in ("val", "test")
        for n in range(16)
    ]
    write_run(folder, run, predictions)
    return folder


@pytest.fixture
def ensemble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two members and their ensemble, in one zoo."""
    monkeypatch.setattr(measure, "RESAMPLES", 20)
    members = [write_member(tmp_path, "one", 1), write_member(tmp_path, "other", 2)]
    return make_ensemble("both", members, tmp_path, NOW)


def test_an_ensemble_reads_as_the_mean_of_its_members(ensemble: Path) -> None:
    reader = load_model(ensemble, "cpu")
    assert isinstance(reader, Ensemble)
    alone = [load(ensemble.parent / name, "cpu").read([FILM])[0] for name in ("one", "other")]
    (mean,) = reader.read([FILM])
    assert alone[0].probability != alone[1].probability
    assert mean.probability == pytest.approx(np.mean([finding.probability for finding in alone]), abs=1e-12)


def test_the_sites_prevalence_comes_after_the_mean(ensemble: Path) -> None:
    reader = load_model(ensemble, "cpu")
    (mean,) = reader.read([FILM])
    (here,) = reader.at(0.1).read([FILM])
    assert here.probability == pytest.approx(at_prevalence(mean.probability, 0.7, 0.1))
    assert reader.at(0.1).algorithm.device_uid != reader.algorithm.device_uid


def test_its_card_comes_from_the_members_predictions(ensemble: Path) -> None:
    cast = card_of(ensemble)
    assert isinstance(cast, Cast)
    run, predictions = read_run(ensemble)
    one, other = (read_run(ensemble.parent / name)[1] for name in ("one", "other"))
    assert predictions[3].probability == pytest.approx((one[3].probability + other[3].probability) / 2)
    assert cast.algorithm().operating_point == run.operating_point
    assert {(row.metric, row.split) for row in cast.card.measured} >= {("roc_auc", "test"), ("ece", "test")}


def test_a_member_that_has_changed_is_not_the_one_on_the_card(ensemble: Path) -> None:
    write_folder(ensemble.parent / "other", untrained(seed=3), name="other")
    with pytest.raises(ModelMismatch, match="other has digest"):
        load_model(ensemble, "cpu")


def test_another_member_is_another_device(ensemble: Path, tmp_path: Path) -> None:
    third = write_member(tmp_path, "third", 3)
    folder = make_ensemble("both-again", [ensemble.parent / "one", third], tmp_path, NOW)
    assert card_of(folder).algorithm().device_uid != card_of(ensemble).algorithm().device_uid


def test_members_that_answer_for_two_populations_are_refused(tmp_path: Path) -> None:
    one, calibration = write_member(tmp_path, "one", 1), {"temperature": 1.0, "prevalence": 0.2, "fitted_on": "val"}
    with pytest.raises(ModelMismatch, match=r"one and other differ in prevalence: 0\.7 and 0\.2"):
        make_ensemble("both", [one, write_member(tmp_path, "other", 2, calibration=calibration)], tmp_path, NOW)
    assert load_card(one).calibration.prevalence == 0.7


def test_members_of_different_films_are_refused(tmp_path: Path) -> None:
    one, other = write_member(tmp_path, "one", 1), write_member(tmp_path, "other", 2)
    run, predictions = read_run(other)
    write_run(other, run, [Prediction("else", p.split, p.file, p.label, p.patient, 0.0, 0.5) for p in predictions])
    with pytest.raises(TrainingError, match="no film in common"):
        make_ensemble("both", [one, other], tmp_path, NOW)


def test_no_ensemble_is_overwritten(ensemble: Path) -> None:
    with pytest.raises(TrainingError, match="is there already"):
        make_ensemble("both", [ensemble.parent / "one", ensemble.parent / "other"], ensemble.parent, NOW)
