"""A segmenter is learned from outlined films, alike by the same seed, and never from a patient it is tested on."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator

from cxrnode.errors import TrainingError
from models.lungcard import load_lung_card
from models.lungs import load
from models.training.lungs.loop import altered, loss_of
from models.training.lungs.measure import measure, overlap
from models.training.lungs.pairs import read_pairs
from models.training.lungs.recipe import read_lung_recipe
from models.training.lungs.stray import stray_maps, told
from models.training.recipe import Augmentation
from models.training.train import train
from tests.outlined import bright_lungs, lung_recipe_table, read_table, write_lung_recipe, write_outlined, write_table

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def train_toy(folder: Path, out: str = "out", **changes: object) -> tuple[Path, list[str]]:
    told: list[str] = []
    recipe = write_lung_recipe(folder / "recipe.toml", **changes)
    return train(recipe, folder, folder / out, now=NOW, device="cpu", threads=1, tell=told.append), told


def test_a_training_finds_the_boxes_and_the_same_seed_finds_them_alike(tmp_path: Path) -> None:
    write_outlined(tmp_path)
    one, told = train_toy(tmp_path)
    other, _ = train_toy(tmp_path, "again")

    card = load_lung_card(one)
    dice, iou = card.measured
    assert (dice.metric, iou.metric) == ("dice", "iou")
    assert dice.value > 0.8
    assert iou.ci_low <= iou.value <= iou.ci_high < dice.ci_high
    assert (dice.n, dice.n_patients, dice.split) == (6, 3, "test")
    assert card.weights.sha256 == load_lung_card(other).weights.sha256
    assert sum(line.startswith("epoch") for line in told) == 6
    recipe = read_lung_recipe(one / "recipe.toml")
    assert recipe.made is not None
    assert recipe.data.digest == card.data.digest
    (figure, _) = measure(load(one, "cpu"), read_pairs(tmp_path, recipe.data).split("test"), recipe.seed)
    assert figure.value == pytest.approx(dice.value)


def test_no_segmenter_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out" / "toy-lungs").mkdir(parents=True)
    with pytest.raises(TrainingError, match="toy-lungs is there already"):
        train_toy(tmp_path)


def test_what_cannot_be_read_is_listed_and_left_out(tmp_path: Path) -> None:
    write_outlined(tmp_path)
    whole = (tmp_path / "train-3.png").read_bytes()
    (tmp_path / "train-3.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "val-1-mask.png").unlink()
    recipe = read_lung_recipe(write_lung_recipe(tmp_path / "recipe.toml"))

    pairs = read_pairs(tmp_path, recipe.data)

    assert len(pairs.pairs) == 34
    assert {line.split()[0] for line in pairs.unreadable} == {"train-3.png", "val-1.png"}


def test_a_film_that_is_not_the_manifest_s_is_refused(tmp_path: Path) -> None:
    write_outlined(tmp_path)
    (tmp_path / "train-0.png").write_bytes((tmp_path / "train-2.png").read_bytes())
    with pytest.raises(TrainingError, match=r"train-0\.png has sha256"):
        train_toy(tmp_path)


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    write_outlined(tmp_path)
    rows = read_table(tmp_path / "films.csv")
    rows[0]["patient_group"] = rows[-1]["patient_group"]
    write_table(tmp_path / "films.csv", rows)
    with pytest.raises(TrainingError, match="1 patients are in two splits"):
        train_toy(tmp_path)


def test_a_recipe_is_held_to_its_data(tmp_path: Path) -> None:
    write_outlined(tmp_path)
    with pytest.raises(TrainingError, match="wanted 0000"):
        train_toy(tmp_path, data=lung_recipe_table()["data"] | {"digest": "0" * 64})


def test_every_fault_of_a_recipe_is_named(tmp_path: Path) -> None:
    path = write_lung_recipe(tmp_path / "r.toml", width=0, mask={"probability": 2.0, "dilation": 0.0}, colour="blue")
    with pytest.raises(TrainingError) as raised:
        read_lung_recipe(path)
    for part in ("3 faults", "width = 0", "mask.probability = 2.0", "colour = 'blue'"):
        assert part in str(raised.value)


def test_the_mask_moves_with_the_film() -> None:
    wanted = Augmentation(stretch=1.3, shift=0.1, rotation_deg=20, brightness=0, contrast=0)
    box = torch.zeros(4, 1, 64, 64)
    box[:, :, 20:40, 10:30] = 1.0

    films, lungs = altered(box * 0.8, box, wanted, Generator().manual_seed(1))

    assert torch.allclose(films, lungs * 0.8, atol=1e-5)
    assert (lungs != box).any()
    assert not torch.equal(lungs[0], lungs[1])


def test_a_better_mask_costs_less() -> None:
    lungs = torch.zeros(1, 1, 16, 16)
    lungs[..., 4:12, 4:12] = 1.0
    right, half = (lungs * 2 - 1) * 8, (lungs * 2 - 1) * 8
    half[..., 4:8, 4:12] = -8.0

    assert float(loss_of(right, lungs)) < 0.01
    assert float(loss_of(half, lungs)) > 1.0


def test_dice_and_iou_are_what_they_are_on_paper() -> None:
    one, other = np.zeros((2, 4, 4), dtype=bool)
    one[:2], other[1:3] = True, True

    assert overlap(one, other) == (0.5, 1 / 3)
    assert overlap(one, one) == (1.0, 1.0)
    assert overlap(one, ~one) == (0.0, 0.0)
    assert overlap(one & ~one, other & ~other) == (1.0, 1.0)


def test_the_interval_is_over_patients(tmp_path: Path) -> None:
    """Two films of one patient are as good as one: the interval of a patient seen twice is no narrower."""
    write_outlined(tmp_path)
    recipe = read_lung_recipe(write_lung_recipe(tmp_path / "r.toml"))
    pairs = read_pairs(tmp_path, recipe.data).split("test")

    once, twice = measure(bright_lungs(), pairs), measure(bright_lungs(), [*pairs, *pairs])

    assert once[0].value == pytest.approx(twice[0].value)
    assert (once[0].ci_low, once[0].ci_high) == pytest.approx((twice[0].ci_low, twice[0].ci_high))


def test_a_made_up_map_at_the_edge_is_told_from_one_in_the_lungs(tmp_path: Path) -> None:
    write_outlined(tmp_path)
    recipe = read_lung_recipe(write_lung_recipe(tmp_path / "r.toml"))
    pairs = read_pairs(tmp_path, recipe.data).split("test")
    swollen = bright_lungs(mask={"probability": 0.5, "dilation": 0.25})

    assert told(bright_lungs(), pairs).value > 0.8 > told(swollen, pairs).value
    assert {stray.values.shape for stray in stray_maps()} == {(56, 56)}
