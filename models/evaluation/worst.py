"""The films that a model was most wrong about, with their maps; as these pictures hold films, they stay here."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxrnode.finding import Finding
from models.evaluation.plots import draw_case, worst
from models.evaluation.run import Answers
from models.training.dataset import Film, radiograph_of

WORST = 12
FOLDER = "worst"
"""git ignores every folder of this name"""


def draw_worst(
    folder: Path,
    read: Callable[[Sequence[NDArray[np.float32]]], Sequence[Finding]],
    answers: Answers,
    films: Sequence[Film],
) -> None:
    """01.png is the film whose probability lies farthest from what is true; `films` in the order of the answers."""
    for place, index in enumerate(worst(answers, [film.file for film in films], WORST), start=1):
        film, shown = films[index], radiograph_of(films[index])
        (finding,) = read([shown])
        truth = "positive" if film.label else "negative"
        title = f"{film.file}: {truth}, probability {finding.probability:.3f}"
        draw_case(folder / FOLDER / f"{place:02d}.png", shown, finding, title)
