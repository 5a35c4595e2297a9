"""served: what the cards alone say of a model is what results will say of it when it is loaded."""

import pytest

from models.gatecard import Mode
from models.served import served
from models.shelf import Shelf

MODEL = "pneumonia-efficientnet-lite0"


@pytest.mark.parametrize(
    ("prevalence", "lungs", "gate"),
    [
        (None, "", "off"),
        (0.05, "", "off"),
        (None, "lungs-unet", "off"),
        (0.05, "lungs-unet", "warn"),
        (None, "", "refuse"),
    ],
)
def test_the_cards_alone_tell_how_a_model_is_known_in_results(prevalence: float | None, lungs: str, gate: Mode) -> None:
    """Red when any of the three is left out or put on in another order: a replay would read everything again."""
    loaded = Shelf(None, "cpu", 1, lungs=lungs, gate=gate).reader(MODEL, prevalence).algorithm

    assert served(MODEL, prevalence, zoo_dir=None, lungs=lungs, gate=gate) == loaded
