"""A change of the frame is what it says, and a model that lives on the frame is seen to."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from cxrnode.cli import app
from cxrnode.finding import Finding, Heatmap, MapMethod
from cxrnode.settings import Settings
from models.card import Input, find, load_card
from models.evaluation import shortcut as room
from models.evaluation.measure import resamples
from models.evaluation.reframe import (
    ASPECTS,
    CHANGES,
    STRETCH,
    Radiograph,
    bordered,
    cut,
    padded,
    resampled,
    squeezed,
    stretched,
    trimmed,
)
from models.evaluation.shortcut import ANY, LIMIT, MANIFEST, Moved, Sample, at_true_aspect, chosen_of, moved, quantile
from models.preprocess import fitted
from models.reader import load
from models.training.dataset import read_films
from models.training.recipe import Films
from tests.films import films_table, write_films
from tests.zoo import write_folder

INPUT = Input(rows=224, columns=224, resize="squash", scale=1.0, mean=(0.5,) * 3, std=(0.25,) * 3)
MAP = Heatmap(np.zeros((7, 7), dtype=np.float32), 0.0, MapMethod.GRAD_CAM)


def body(rows: int = 200, columns: int = 300) -> Radiograph:
    """A smooth blot in the middle of the frame, a fifth of it high and wide (standard deviations), on dark grey."""
    down, across = np.linspace(-2.5, 2.5, rows)[:, None], np.linspace(-2.5, 2.5, columns)[None, :]
    return (0.2 + 0.7 * np.exp(-0.5 * (down**2 + across**2))).astype(np.float32)


def spread(film: Radiograph, axis: int) -> float:
    """How wide the blot lies along an axis, in pixels: the width at half of its height above the ground."""
    line = film[:, film.shape[1] // 2] if axis == 0 else film[film.shape[0] // 2]
    return float((line > 0.55).sum())


def test_a_stretched_body_is_larger_along_one_axis_in_the_same_frame() -> None:
    film = body()
    across, down = stretched(film, 1.0, STRETCH), stretched(film, STRETCH, 1.0)

    assert across.shape == down.shape == film.shape
    assert spread(across, 1) == pytest.approx(STRETCH * spread(film, 1), abs=2)
    assert spread(across, 0) == pytest.approx(spread(film, 0), abs=2)
    assert spread(down, 0) == pytest.approx(STRETCH * spread(film, 0), abs=2)
    assert spread(down, 1) == pytest.approx(spread(film, 1), abs=2)


def test_a_squeezed_body_is_smaller_along_one_axis_with_bars_beside_it() -> None:
    film = body()
    black, edge = (squeezed(film, 1.0, STRETCH, fill) for fill in ("black", "edge"))  # type: ignore[arg-type]
    bar = (300 - round(300 / STRETCH)) // 2

    assert black.shape == edge.shape == film.shape
    assert spread(black, 1) == pytest.approx(spread(film, 1) / STRETCH, abs=2)
    assert spread(black, 0) == pytest.approx(spread(film, 0), abs=2)
    assert bar == 29
    assert (black[:, :bar] == 0).all()
    assert (black[:, bar] > 0).all()
    assert (black[:, -bar:] == 0).all()
    outermost = np.median(np.concatenate([film[0], film[-1], film[:, 0], film[:, -1]]))
    assert (edge[:, :bar] == outermost).all()
    assert np.array_equal(edge[:, bar:-bar], black[:, bar:-bar])


@pytest.mark.parametrize(("rows", "columns"), [(200, 300), (300, 200), (200, 242), (200, 200)])
@pytest.mark.parametrize("aspect", ASPECTS)
def test_a_film_is_padded_or_cut_to_an_aspect_along_one_axis_only(rows: int, columns: int, aspect: float) -> None:
    film = body(rows, columns)
    larger, smaller = padded(film, aspect, "black"), cut(film, aspect)

    for changed in (larger, smaller):
        assert changed.shape[1] / changed.shape[0] == pytest.approx(aspect, abs=0.01)
    assert (larger.shape[0] == rows) or (larger.shape[1] == columns)
    assert (smaller.shape[0] == rows) or (smaller.shape[1] == columns)
    top, left = (larger.shape[0] - rows) // 2, (larger.shape[1] - columns) // 2
    assert np.array_equal(larger[top : top + rows, left : left + columns], film)
    assert larger.sum() == pytest.approx(film.sum(), rel=1e-5)
    top, left = (rows - smaller.shape[0]) // 2, (columns - smaller.shape[1]) // 2
    assert np.array_equal(smaller, film[top : top + smaller.shape[0], left : left + smaller.shape[1]])


def test_a_border_is_cut_off_or_added_at_every_edge() -> None:
    film = body(200, 300)

    assert np.array_equal(trimmed(film, 0.05), film[10:190, 15:285])
    added = bordered(film, 0.05, "black")
    assert added.shape == (220, 330)
    assert np.array_equal(added[10:210, 15:315], film)
    assert added.sum() == pytest.approx(film.sum(), rel=1e-5)


def test_a_squashed_film_does_not_show_resampling_but_every_other_change() -> None:
    film = body()

    def difference(changed: Radiograph) -> float:
        return float((fitted(changed, INPUT) - fitted(film, INPUT)).abs().max())

    assert difference(resampled(film, 1.21)) < 0.005
    for change in CHANGES:
        for label in (0, 1):
            changed = change.make(body(200, round(200 * ASPECTS[label])), label)
            assert changed.dtype == np.float32
            assert 0 <= changed.min() <= changed.max() <= 1
            plain = fitted(body(200, round(200 * ASPECTS[label])), INPUT)
            far = float((fitted(changed, INPUT) - plain).abs().max())
            assert (far > 0.02) if change.seen else (far < 0.005), change.name


def test_a_quantile_of_weighed_values_agrees_with_a_second_reader() -> None:
    generator = np.random.default_rng(1)
    values, weights = generator.random(50), generator.integers(0, 3, size=(40, 50)).astype(float)
    for share in (0.5, 0.95):
        wanted = [np.quantile(values, share, weights=row, method="inverted_cdf") for row in weights]
        assert quantile(values, weights, share) == pytest.approx(np.array(wanted))


def reader_of(answer: Callable[[Radiograph], float]) -> Callable[[Sequence[Radiograph]], list[Finding]]:
    """A model that is one function."""
    return lambda films: [Finding(0.0, answer(film), MAP) for film in films]


@pytest.fixture(name="films")
def _films(tmp_path: Path) -> Films:
    write_films(tmp_path)
    return Films.model_validate(films_table())


def lines_of(answer: Callable[[Radiograph], float], data_dir: Path, films: Films) -> dict[tuple[str, str], Moved]:
    chosen = read_films(data_dir, films).split("test")
    return {(line.change, line.of): line for line in moved(reader_of(answer), chosen, 0.5)}


def test_a_model_that_says_the_same_of_every_film_is_not_moved(tmp_path: Path, films: Films) -> None:
    found = lines_of(lambda _: 0.7, tmp_path, films)

    assert {change for change, _ in found} == {change.name for change in CHANGES} | {ANY}
    assert all(line.median == line.percentile_95 == line.shift == line.flipped == 0 for line in found.values())


def test_a_model_that_lives_on_the_aspect_is_moved_by_it_and_by_no_border(tmp_path: Path, films: Films) -> None:
    """It answers (width / height) / 3: 4/9 of these films of 48 x 64, 0.5 of a normal's made as wide as a pneumonia."""
    found = lines_of(lambda film: film.shape[1] / film.shape[0] / 3, tmp_path, films)

    for name in ("resampled", "padded_black", "padded_edge", "cut"):
        negative, positive = (found[f"{name}_to_other_aspect", of] for of in ("negative", "positive"))
        assert negative.median == pytest.approx(1.5 / 3 - 4 / 9, abs=0.005)
        assert positive.median == pytest.approx(4 / 9 - 1.21 / 3, abs=0.005)
        assert (negative.shift, positive.shift) == pytest.approx((negative.median, -positive.median))
        assert (negative.flipped, positive.flipped) == (4 if negative.median + 4 / 9 >= 0.5 else 0, 0)
    for name in ("stretched_across", "squeezed_down_edge"):
        assert found[name, "all"].percentile_95 == 0
    for name in ("border_cut", "border_black", "border_edge"):
        assert found[name, "all"].percentile_95 < 0.02  # whole pixels


def test_a_model_that_lives_on_black_bars_is_moved_by_them_alone(tmp_path: Path, films: Films) -> None:
    def bars(film: Radiograph) -> float:
        return float((film == 0).all(axis=0).mean())

    found = lines_of(bars, tmp_path, films)
    squeezed_films = found["squeezed_across_black", "all"]

    assert squeezed_films.median == pytest.approx(1 - round(64 / STRETCH) / 64)
    assert (squeezed_films.median_low, squeezed_films.median_high) == (squeezed_films.median,) * 2
    assert found["squeezed_across_edge", "all"].percentile_95 == 0
    assert found["stretched_across", "all"].percentile_95 == 0
    assert (squeezed_films.n, squeezed_films.n_patients) == (8, 4)
    assert found[ANY, "negative"].n == 4
    assert found[ANY, "all"].percentile_95 >= squeezed_films.median


def test_films_of_one_patient_are_drawn_together(tmp_path: Path, films: Films, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[NDArray[np.float64]] = []
    monkeypatch.setattr(room, "resamples", lambda *given: drawn.append(resamples(*given)) or drawn[-1])
    lines_of(lambda _: 0.5, tmp_path, films)

    (weights,) = drawn
    patients = [film.patient for film in read_films(tmp_path, films).split("test")]
    assert patients[0] == patients[1]
    assert np.array_equal(weights[:, 0], weights[:, 1])
    assert not np.array_equal(weights[:, 0], weights[:, 2])


def test_a_sample_holds_both_classes_and_is_the_same_again(tmp_path: Path, films: Films) -> None:
    whole = read_films(tmp_path, films)
    some = chosen_of(whole, Sample(films, count=4, seed=1))

    assert sorted(film.label for film in some) == [0, 0, 1, 1]
    assert [film.file for film in some] == [film.file for film in chosen_of(whole, Sample(films, count=4, seed=1))]
    assert len(chosen_of(whole, Sample(films))) == len(chosen_of(whole, Sample(films, count=99))) == 8
    assert len({film.file for film in chosen_of(whole, Sample(films, count=7))}) == 7


def test_the_command_prints_for_machines_and_records_on_the_card(tmp_path: Path, films: Films) -> None:
    folder = write_folder(tmp_path / "toy")
    options = ["--manifest", films.manifest, "--positive-class", films.positive_class, "--count", "4"]
    told = CliRunner().invoke(app, ["shortcut", str(folder), str(tmp_path), *options, "--note", "--json"])

    assert told.exit_code == 0, told.output
    lines = {(line["change"], line["of"]): line for line in json.loads(told.stdout)}
    rows = {row.metric: row for row in load_card(folder).measured if row.metric.startswith("moved_by_")}
    assert len(rows) == 2 * len(CHANGES) + 2 * 3
    assert rows["moved_by_reframing_median"].value == lines[ANY, "all"]["median"]
    assert rows["moved_by_reframing_percentile_95_of_negatives"].value == lines[ANY, "negative"]["percentile_95"]
    assert rows["moved_by_border_cut_median_of_positives"].value == lines["border_cut", "positive"]["median"]
    assert rows["moved_by_border_cut_median_of_positives"].n == 2


def test_the_command_says_for_people_whether_it_is_within_the_limit(tmp_path: Path, films: Films) -> None:
    folder = write_folder(tmp_path / "toy")
    options = ["--manifest", films.manifest, "--positive-class", films.positive_class, "--count", "2"]
    told = CliRunner().invoke(app, ["shortcut", str(folder), str(tmp_path), *options], env={"COLUMNS": "160"})

    assert told.exit_code == 0, told.output
    assert "border_black" in told.output
    assert f"the wanted {LIMIT}" in told.output


@pytest.mark.timeout(900)  # 560 films with their maps, on a machine that may be busy
def test_the_model_that_ships_does_not_live_on_the_frame(shared_data: Path) -> None:
    """Over all changes; and by class where a film gets the other class's aspect without losing anything."""
    reader = load(find(Settings().model.name), "cpu")
    films = at_true_aspect(MANIFEST, "PNEUMONIA", "patient_group")
    chosen = chosen_of(read_films(shared_data, films), Sample(films, count=40))
    found = {(line.change, line.of): line for line in moved(reader.read, chosen, reader.algorithm.operating_point)}

    assert found[ANY, "all"].median <= LIMIT
    for name in ("resampled_to_other_aspect", "padded_black_to_other_aspect", "padded_edge_to_other_aspect"):
        assert found[name, "negative"].median <= LIMIT
        assert found[name, "positive"].median <= LIMIT
