"""A figure measured later lands on the card once, and changes nothing else there."""

from datetime import date
from pathlib import Path

import pytest

from cxrnode.errors import ModelMismatch
from models.card import ZOO_DIR, Measured, load_card
from models.evaluation.record import record
from tests.zoo import write_folder


def row(metric: str = "map_lung_share", value: float = 0.7, split: str = "test") -> Measured:
    return Measured(
        metric=metric,
        value=value,
        ci_low=value - 0.1,
        ci_high=value + 0.1,
        n=9,
        n_patients=7,
        data="made-up films",
        split=split,
        command="cxrnode maps toy DATA --note",
        date=date(2026, 2, 3),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "toy")


def test_a_new_figure_is_added_and_the_rest_stays(folder: Path) -> None:
    before = load_card(folder)
    record(folder, [row()])
    after = load_card(folder)
    assert after.measured == (*before.measured, row())
    assert after.model_copy(update={"measured": ()}) == before.model_copy(update={"measured": ()})
    assert after.digest == before.digest
    assert {path.name for path in folder.iterdir()} == {"card.toml", "weights.safetensors"}


def test_a_figure_measured_again_takes_the_olds_place(folder: Path) -> None:
    record(folder, [row(), row("deletion_auc")])
    record(folder, [row(value=0.8)])
    assert [(one.metric, one.value) for one in load_card(folder).measured[1:]] == [
        ("map_lung_share", 0.8),
        ("deletion_auc", 0.7),
    ]


def test_another_split_is_another_figure(folder: Path) -> None:
    record(folder, [row(), row(split="val")])
    assert len(load_card(folder).measured) == 3


def test_recording_what_is_there_leaves_the_bytes_of_a_shipped_card(tmp_path: Path) -> None:
    for shipped in sorted(ZOO_DIR.glob("*/card.toml")):
        copy = tmp_path / shipped.parent.name / "card.toml"
        copy.parent.mkdir()
        copy.write_bytes(shipped.read_bytes())
        record(copy.parent, [])
        assert copy.read_bytes() == shipped.read_bytes()


def test_a_card_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match=r"card\.toml: cannot be read"):
        record(tmp_path, [row()])
