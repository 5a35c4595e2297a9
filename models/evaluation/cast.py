"""`cxrnode ensemble`: an ensemble's card from its members' run folders, whose predictions hold all that is wanted."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cxrnode.errors import TrainingError
from models.card import OperatingPoint, load_card
from models.ensemble import mean_of
from models.ensemblecard import EnsembleCard, Member, hold_together
from models.evaluation.measure import youden_point
from models.evaluation.plots import draw_run
from models.evaluation.run import Prediction, Run, answers_of, as_written, measured_of, read_run, write_run
from models.training.write import refuse_existing, toml_of

RULE = "largest Youden index (sensitivity + specificity - 1) of the mean on the validation split"


def make_ensemble(name: str, members: Sequence[Path], out_dir: Path, now: datetime) -> Path:
    """Write `out_dir`/`name`: a card that names the members, with run.json, predictions.csv and plots.

    The operating point is chosen on the validation split. The members are to lie beside the folder when it is used.
    Raises TrainingError, and ModelMismatch for members that answer different questions.
    """
    folder = out_dir / name
    refuse_existing(folder)
    cards = [load_card(member) for member in members]
    hold_together(cards)
    runs = [read_run(member) for member in members]
    films = runs[0][0].films
    predictions = _means([predictions for _, predictions in runs])
    sets = {(answers.films, answers.split): answers for answers in answers_of(predictions)}
    validation, test = sets.get((films, "val")), sets.get((films, "test"))
    if validation is None or test is None:
        raise TrainingError(f"{members[0]} has no predictions on val and test of {films}; wanted both")
    point = youden_point(validation.probabilities, validation.labels)
    run = Run(
        name=name,
        architecture=" + ".join(card.architecture for card in cards),
        start="its members",
        date=now.isoformat(timespec="seconds"),
        films=films,
        films_digest=cards[0].data.digest,
        operating_point=point,
    )
    command = f"cxrnode ensemble {name} {' '.join(card.name for card in cards)}"
    card = EnsembleCard(
        name=name,
        version="1",
        intended_use=cards[0].intended_use,
        not_for=tuple(dict.fromkeys(line for one in cards for line in one.not_for)),
        members=tuple(Member(name=one.name, digest=one.digest) for one in cards),
        operating_point=OperatingPoint(probability=point, rule=RULE),
        measured=measured_of(predictions, point, command, now),
    )
    write_run(folder, run, predictions)
    (folder / "card.toml").write_text(toml_of(card), encoding="utf-8")
    draw_run(folder, run, test)
    return folder


def _means(members: Sequence[Sequence[Prediction]]) -> list[Prediction]:
    """The mean probability of every film that all members answered. Raises TrainingError when they share none."""
    answers = [{(one.films, one.split, one.file): one for one in some} for some in members]
    shared = [key for key in answers[0] if all(key in other for other in answers)]
    if not shared:
        raise TrainingError("the members answered no film in common; wanted run folders of the same films")
    return [_mean([answer[key] for answer in answers]) for key in shared]


def _mean(predictions: Sequence[Prediction]) -> Prediction:
    logit, probability = mean_of([one.probability for one in predictions])
    return as_written(replace(predictions[0], probability=probability, logit=logit))
