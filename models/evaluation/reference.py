"""`cxrnode reference`: the tenths of probability that a model's validation films fell in, onto its card, for drift."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cxrnode.errors import ModelMismatch
from cxrnode.stability import BINS, tenth
from models.card import ModelCard, ReferenceMix, load_card
from models.evaluation.record import rewrite
from models.evaluation.run import Prediction, read_run

SPLIT = "val"


def reference(folder: Path, *, noted: bool, as_json: bool) -> None:
    """Print the mix of the model's validation split and, where it is to be `noted`, write it onto the card.

    It is made from predictions.csv beside the card. Raises TrainingError where that is not there, ModelMismatch where
    it has no validation films.
    """
    card = load_card(folder)
    run, predictions = read_run(folder)
    mix = mix_of(card, run.films, predictions)
    if noted:
        rewrite(folder, {"reference": mix.model_dump(mode="json")})
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if as_json:
        console.print(json.dumps(mix.model_dump(mode="json") | {"noted": noted}, indent=2))
        return
    tenths = ", ".join(map(str, mix.probability))
    console.print(f"{card.name} {card.version}: {mix.source}; by tenths of probability: {tenths}.")
    console.print("Written onto the card." if noted else "Not written: --note writes it onto the card.")


def mix_of(card: ModelCard, films: str, predictions: Sequence[Prediction]) -> ReferenceMix:
    """Films of the validation split of `films` by tenths of probability. Raises ModelMismatch where there are none."""
    tenths = [0] * BINS
    for one in predictions:
        if (one.films, one.split) == (films, SPLIT):
            tenths[int(tenth(one.probability, card.calibration.prevalence, None))] += 1
    if not sum(tenths):
        raise ModelMismatch(f"{card.name}: no film of the split {SPLIT!r} of {films!r}; wanted those it was tuned on")
    return ReferenceMix(source=f"validation split, {sum(tenths)} films of {films}"[:128], probability=tuple(tenths))
