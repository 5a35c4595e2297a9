"""A map's share of lung is what it is on paper, and a segmenter that is not its card's does not load."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cxrnode.errors import ModelMismatch
from cxrnode.finding import Finding, Heatmap, MapMethod
from cxrnode.settings import Settings
from models.card import ZOO_DIR
from models.devices import CPU
from models.lungcard import find_lungs, load_lung_card
from models.lungs import load
from models.reader import load as load_reader
from models.training.lungs.measure import overlap
from models.training.lungs.recipe import read_lung_recipe
from tests.outlined import TERMS, bright_lungs, read_table, write_lung_folder
from tests.zoo import write_folder

ROWS, COLUMNS = 96, 64


def film() -> NDArray[np.float32]:
    """Bright in its upper left quarter alone."""
    values = np.full((ROWS, COLUMNS), 0.1, dtype=np.float32)
    values[: ROWS // 2, : COLUMNS // 2] = 0.9
    return values


def map_of(values: NDArray[np.float32]) -> Heatmap:
    return Heatmap(values, 1.0, MapMethod.GRAD_CAM)


def test_the_mask_lies_where_the_lungs_are_in_the_film() -> None:
    mask = bright_lungs().mask(film())

    assert mask.shape == (ROWS, COLUMNS)
    assert mask.dtype == np.float32
    assert float(mask.min()) >= 0.0
    assert float(mask.max()) <= 1.0
    wrong = (mask >= 0.5) != (film() > 0.5)
    edge = 3  # the network's grid is that much coarser
    assert not np.delete(wrong, slice(ROWS // 2 - edge, ROWS // 2 + edge), axis=0)[:, : COLUMNS // 2 - edge].any()
    assert not wrong[:, COLUMNS // 2 + edge :].any()


def test_a_map_s_share_is_the_part_of_its_mass_in_the_lungs() -> None:
    lungs = bright_lungs()
    inside, outside = np.zeros((2, 32, 32), dtype=np.float32)
    inside[4:10, 4:10] = 1.0
    outside[20:26, 20:26] = 1.0

    assert lungs.share(map_of(inside), film()) == 1.0
    assert lungs.share(map_of(outside), film()) == 0.0
    assert lungs.share(map_of((inside * 0.6 + outside * 0.2).astype(np.float32)), film()) == pytest.approx(0.75)
    assert lungs.share(map_of(np.ones((32, 32), dtype=np.float32)), film()) == pytest.approx(0.25)


def test_an_empty_map_has_no_share_and_a_film_without_lungs_has_nothing_in_them() -> None:
    lungs = bright_lungs()

    assert lungs.share(Heatmap(np.zeros((7, 7), dtype=np.float32), 0.0, MapMethod.GRAD_CAM), film()) is None
    black = np.zeros((ROWS, COLUMNS), dtype=np.float32)
    everywhere = map_of(np.ones((7, 7), dtype=np.float32))
    assert lungs.share(everywhere, black) == 0.0
    assert not lungs.localise(Finding(2.0, 0.9, everywhere), black).localised


def test_the_lungs_grow_by_the_stated_part_of_each_side() -> None:
    grown = bright_lungs(mask={"probability": 0.5, "dilation": 0.125}).region(film())

    rows, columns = np.flatnonzero(grown.any(axis=1)), np.flatnonzero(grown.any(axis=0))
    assert rows[-1] + 1 == pytest.approx(ROWS * 0.625, abs=2)
    assert columns[-1] + 1 == pytest.approx(COLUMNS * 0.625, abs=2)


@pytest.mark.parametrize(("inside", "localised"), [(0.0, False), (0.24, False), (0.26, True), (1.0, True)])
def test_a_map_is_localised_from_chance_on_and_the_lungs_fill_a_quarter_here(inside: float, localised: bool) -> None:  # noqa: FBT001  a table of cases
    values = np.zeros((32, 32), dtype=np.float32)
    values[4:8, 4:8], values[24:28, 24:28] = inside, 1 - inside

    found = bright_lungs().localise(Finding(2.0, 0.9, map_of(values)), film())

    assert found.lung_share == pytest.approx(inside, abs=1e-6)
    assert found.localised is localised


def test_a_gpu_without_memory_leaves_the_lungs_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    lungs, wanted = bright_lungs(), bright_lungs().mask(film())
    forward = type(lungs._network).forward

    def full(network: nn.Module, inputs: Tensor) -> Tensor:
        if lungs.device != CPU:
            raise torch.OutOfMemoryError("planted")
        found: Tensor = forward(network, inputs)
        return found

    monkeypatch.setattr(type(lungs._network), "forward", full)
    lungs.device = torch.device("cpu", 0)
    assert np.array_equal(lungs.mask(film()), wanted)
    assert lungs.device == CPU


def test_weights_that_are_not_the_card_s_do_not_load(tmp_path: Path) -> None:
    folder = write_lung_folder(tmp_path / "toy-lungs")
    assert load(folder, "cpu").digest == load_lung_card(folder).digest
    with (folder / "weights.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")

    with pytest.raises(ModelMismatch, match="sha256"):
        load(folder, "cpu")


def test_weights_of_another_width_do_not_load(tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match="width 4"):
        load(write_lung_folder(tmp_path / "toy-lungs", width=4), "cpu")


def test_a_classifier_s_card_is_no_segmenter_s_and_the_other_way_round(tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match="kind"):
        load(write_folder(tmp_path / "toy"), "cpu")
    with pytest.raises(ModelMismatch, match="operating_point"):
        load_reader(write_lung_folder(tmp_path / "toy-lungs"), "cpu")


@pytest.mark.parametrize(
    "change",
    [
        {"input": TERMS["input"] | {"rows": 64}},
        {"mask": TERMS["mask"] | {"dilation": 0.1}},
        {"mask": TERMS["mask"] | {"probability": 0.4}},
        {"localised": TERMS["localised"] | {"times": 1.2}},
    ],
)
def test_what_changes_a_share_changes_the_digest(change: dict[str, object], tmp_path: Path) -> None:
    one, other = write_lung_folder(tmp_path / "one"), write_lung_folder(tmp_path / "other", **change)

    assert load_lung_card(one).digest != load_lung_card(other).digest


def test_the_segmenter_is_looked_for_in_the_hospital_s_zoo_then_in_the_program_s(tmp_path: Path) -> None:
    folder = write_lung_folder(tmp_path / "own-lungs")

    assert find_lungs("own-lungs", tmp_path) == folder
    assert find_lungs("") is None
    with pytest.raises(ModelMismatch, match=str(ZOO_DIR)):
        find_lungs("no-lungs", tmp_path)


def test_another_segmenter_is_another_device_and_only_positives_are_asked_where_they_point(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "toy")
    alone = load_reader(folder, "cpu")
    one, other = (
        load_reader(folder, "cpu", lungs=load(write_lung_folder(tmp_path / name, seed), "cpu"))
        for seed, name in enumerate(("one", "other"))
    )

    algorithms = [reader.algorithm for reader in (alone, one, other)]
    assert len({algorithm.digest for algorithm in algorithms}) == 3
    assert len({algorithm.device_uid for algorithm in algorithms}) == 3

    generator = np.random.default_rng(7)
    for _ in range(12):
        image = np.kron(generator.random((6, 6), dtype=np.float32), np.ones((20, 20), dtype=np.float32))
        (plain,), (asked,) = alone.read([image]), one.read([image])
        assert (plain.logit, plain.probability) == (asked.logit, asked.probability)
        assert plain.lung_share is None
        positive = asked.probability >= one.algorithm.operating_point
        assert (asked.lung_share is not None) is (positive and bool(asked.heatmap.values.any()))


def test_at_another_prevalence_the_segmenter_still_counts(tmp_path: Path) -> None:
    folder, lungs = write_folder(tmp_path / "toy"), load(write_lung_folder(tmp_path / "toy-lungs"), "cpu")

    with_lungs, alone = (
        load_reader(folder, "cpu", prevalence=0.2, lungs=lungs),
        load_reader(folder, "cpu", prevalence=0.2),
    )

    assert with_lungs.algorithm.digest != alone.algorithm.digest
    assert with_lungs.algorithm.operating_point == alone.algorithm.operating_point


def test_the_segmenter_that_ships_finds_lungs(shared_data: Path) -> None:
    folder = find_lungs(Settings().model.lungs)
    assert folder is not None
    recipe = read_lung_recipe(folder / "recipe.toml")
    rows = read_table(shared_data / recipe.data.masks)
    chosen = [row for row in rows if row["group"] == recipe.data.group and row["split"] == "test"][::25]
    lungs, dice = load(folder, "cpu"), []
    for row in chosen:
        film = np.asarray(Image.open(shared_data / row["of"]).convert("L"), dtype=np.float32) / np.float32(255)
        wanted = np.asarray(Image.open(shared_data / row["file"]).convert("L")) > 0
        dice.append(overlap(lungs.mask(film) >= recipe.mask.probability, wanted)[0])

    assert len(dice) == 21
    assert float(np.mean(dice)) > 0.93


def test_the_readme_says_what_the_segmenter_s_card_says() -> None:
    card = load_lung_card(ZOO_DIR / "lungs-unet")
    readme = " ".join((ZOO_DIR.parents[1] / "README.md").read_text(encoding="utf-8").split())

    assert f"`{card.name}`" in readme
    for row in card.measured:
        assert f"{row.value:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}]" in readme, f"{row.data}: {row.metric}"
