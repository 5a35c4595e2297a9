"""A card is whole or it does not load; its digest changes with everything that changes a result."""

import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w
from pydicom.uid import UID

from cxrnode.errors import ModelMismatch
from models.card import ModelCard, find, load_card
from tests.zoo import card_table, write_card, write_folder


def card(**changes: object) -> ModelCard:
    return ModelCard.model_validate(card_table(**changes))


def test_a_card_says_what_its_file_says(tmp_path: Path) -> None:
    read = load_card(write_folder(tmp_path / "toy"))
    assert read.population.age_years == (1, 5)
    assert read.input.mean == (127.5, 127.5, 127.5)
    assert read.measured[0].n_patients == 7
    algorithm = read.algorithm()
    assert (algorithm.name, algorithm.operating_point, algorithm.prevalence) == ("toy", 0.5, 0.7)
    assert (algorithm.weights_sha256, algorithm.digest) == (read.weights.sha256, read.digest)


def test_every_fault_is_named_in_one_message(tmp_path: Path) -> None:
    table = card_table()
    point = table["operating_point"] | {"probability": 1.5}
    del table["version"]
    wrong = table | {"operating_point": point, "colour": "blue", "input": table["input"] | {"resize": "tile"}}
    with pytest.raises(ModelMismatch) as raised:
        write_and_load(tmp_path, wrong)
    message = str(raised.value)
    assert "4 faults" in message
    for part in ("version", "operating_point.probability = 1.5", "colour = 'blue'", "input.resize = 'tile'"):
        assert part in message


def test_a_population_runs_from_young_to_old(tmp_path: Path) -> None:
    population = card_table()["population"] | {"age_years": [5, 1]}
    with pytest.raises(ModelMismatch, match="youngest first"):
        write_and_load(tmp_path, card_table(population=population))


def test_weights_that_are_not_the_cards_do_not_load(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "toy")
    with (folder / "weights.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(ModelMismatch, match="sha256"):
        load_card(folder)


def test_absent_weights_are_named(tmp_path: Path) -> None:
    write_card(tmp_path / "toy")
    with pytest.raises(ModelMismatch, match=r"weights\.safetensors: cannot be read"):
        load_card(tmp_path / "toy")


@pytest.mark.parametrize("file", ["../weights.safetensors", "/weights.safetensors", "weights.pth"])
def test_weights_lie_beside_the_card_and_are_no_pickle(tmp_path: Path, file: str) -> None:
    with pytest.raises(ModelMismatch, match=r"weights\.file"):
        write_and_load(tmp_path, card_table(weights={"file": file, "sha256": "0" * 64}))


def test_an_unknown_model_is_answered_with_the_known(tmp_path: Path) -> None:
    write_card(tmp_path / "one")
    write_card(tmp_path / "two")
    assert find("two", tmp_path) == tmp_path / "two"
    for name in ("three", "../one", ""):
        with pytest.raises(ModelMismatch, match="one, two"):
            find(name, tmp_path)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("weights", {"sha256": "f" * 64}),
        ("input", {"scale": 1.0}),
        ("input", {"rows": 224}),
        ("finding", {"code_value": "1"}),
        ("operating_point", {"probability": 0.6}),
        ("calibration", {"temperature": 2.0}),
        ("calibration", {"prevalence": 0.1}),
        ("explanation", {"layer": "features.17"}),
    ],
)
def test_what_changes_a_result_changes_digest_and_device(table: str, change: dict[str, object]) -> None:
    other = card(**{table: card_table()[table] | change})
    assert other.digest != card().digest
    assert other.device_uid != card().device_uid


@pytest.mark.parametrize(
    "change",
    [
        {"intended_use": "other words"},
        {"not_for": ["other words"]},
        {"operating_point": {"probability": 0.5, "rule": "other words"}},
        {"weights": {"file": "other.safetensors", "sha256": "0" * 64}},
    ],
)
def test_words_change_no_digest(change: dict[str, object]) -> None:
    assert card(**change).digest == card().digest


def test_the_architecture_is_part_of_the_digest() -> None:
    assert card(architecture="efficientnet_lite0").digest != card().digest


def test_the_device_uid_is_a_uid() -> None:
    assert UID(card().device_uid).is_valid


def test_reading_a_card_loads_no_torch() -> None:
    code = "import sys, models, models.card; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def write_and_load(folder: Path, table: dict[str, object]) -> ModelCard:
    (folder / "card.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    return load_card(folder)
