"""Pictures of a run: curves, ROC, calibration, confusion; and the worst cases with their maps, which hold films."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from numpy.typing import NDArray
from torchmetrics.functional.classification import binary_roc

from cxrnode.finding import Finding
from models.evaluation.run import Answers, Run

mpl.use("Agg")
BINS = 10


def draw_run(folder: Path, run: Run, answers: Answers) -> None:
    """curves.png (where there were epochs), roc.png, calibration.png and confusion.png of one set's answers."""
    if run.epochs:
        _save(folder / "curves.png", _curves(run))
    _save(folder / "roc.png", _roc(answers))
    _save(folder / "calibration.png", _calibration(answers))
    _save(folder / "confusion.png", _confusion(answers, run.operating_point))


def draw_case(path: Path, radiograph: NDArray[np.float32], finding: Finding, title: str) -> None:
    """A film, (rows, cols) in [0, 1], beside the same film under its map."""
    picture = Picture(figsize=(8, 4.2), layout="constrained")
    plain, mapped = picture.subplots(1, 2)
    heat = finding.heatmap.resized(*radiograph.shape)
    for axes in (plain, mapped):
        axes.imshow(radiograph, cmap="gray", vmin=0, vmax=1)
        axes.axis("off")
    mapped.imshow(heat, cmap="inferno", alpha=0.6 * heat, vmin=0, vmax=1)
    picture.suptitle(title, fontsize=9)
    _save(path, picture)


def worst(answers: Answers, files: Sequence[str], count: int) -> list[int]:
    """Indices of the films whose probability lies farthest from what is true, the worst first; ties by file."""
    wrong = np.abs(answers.probabilities - answers.labels)
    return sorted(range(len(files)), key=lambda index: (-float(wrong[index]), files[index]))[:count]


def _curves(run: Run) -> Picture:
    picture = Picture(figsize=(7, 3.2), layout="constrained")
    left, right = picture.subplots(1, 2)
    numbers = [epoch.number for epoch in run.epochs]
    left.plot(numbers, [epoch.loss for epoch in run.epochs], "o-", label="training loss")
    left.plot(numbers, [epoch.nll for epoch in run.epochs], "s--", label="validation NLL, uncalibrated")
    left.legend()
    right.plot(numbers, [epoch.roc_auc for epoch in run.epochs], "o-")
    right.axvline(run.best_epoch, color="grey", linestyle=":")
    _name(left, "epoch", "nats")
    _name(right, "epoch (kept: dotted)", "validation ROC-AUC")
    picture.suptitle(run.name)
    return picture


def _roc(answers: Answers) -> Picture:
    false_alarms, hits, _ = binary_roc(torch.from_numpy(answers.probabilities), torch.from_numpy(answers.labels))
    picture, axes = _square(answers)
    axes.plot(false_alarms.numpy(), hits.numpy())
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    _name(axes, "1 - specificity", "sensitivity")
    return picture


def _calibration(answers: Answers) -> Picture:
    bins = np.minimum((answers.probabilities * BINS).astype(int), BINS - 1)
    picture, axes = _square(answers)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    for number in np.unique(bins):
        inside = bins == number
        given, true = answers.probabilities[inside].mean(), answers.labels[inside].mean()
        axes.plot(given, true, "o", color="tab:blue")
        axes.annotate(str(int(inside.sum())), (given, true), textcoords="offset points", xytext=(5, -10), fontsize=8)
    _name(axes, f"mean probability in each of {BINS} bins", "share of positives (films written beside)")
    return picture


def _confusion(answers: Answers, operating_point: float) -> Picture:
    called = answers.probabilities >= operating_point
    table = np.array([[np.sum((called == c) & (answers.labels == t)) for c in (0, 1)] for t in (0, 1)])
    picture, axes = _square(answers)
    shares = table / table.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(table):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", fontsize=16, color=colour)
    axes.set_xticks([0, 1], ["negative", "positive"])
    axes.set_yticks([0, 1], ["negative", "positive"])
    _name(axes, f"answer at {operating_point:.3f}", "truth")
    return picture


def _square(answers: Answers) -> tuple[Picture, Axes]:
    picture = Picture(figsize=(4.2, 4.2), layout="constrained")
    axes = picture.subplots()
    axes.set_title(f"{answers.films}, {answers.split} (n = {len(answers.labels)})", fontsize=8)
    return picture, axes


def _name(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(up)


def _save(path: Path, picture: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=100, metadata={"Software": None})  # the same picture, the same bytes
