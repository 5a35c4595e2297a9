"""The films of a soak: made-up chests, small and cheap, and some that are refused, not applicable or cut short."""

from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from cxrnode.finding import Outcome
from tests.builders import chest_like, make_cxr
from tests.nodes import saved

READ = "read"
KINDS: dict[str, dict[str, object]] = {
    READ: {},
    Outcome.REFUSED: {"PatientID": None},
    Outcome.NOT_APPLICABLE: {"BodyPartExamined": "FOOT", "StudyDescription": "Foot"},
    Outcome.FAILED: {"PixelData": bytes(1000)},  # breaks off after 1000 bytes
}
"""What a film ends as, and what it needs for that."""
WEIGHTS = [85, 5, 5, 5]
COUNTS, COUNT_WEIGHTS = [1, 2, 3], [6, 3, 1]


def study(chance: Random, folder: Path, name: str) -> list[Path]:
    """The files of a new study of one to three films."""
    common = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "PatientID": f"ZZ-{name}"}
    (count,) = chance.choices(COUNTS, COUNT_WEIGHTS)
    kinds = chance.choices(list(KINDS), WEIGHTS, k=count)
    return [
        saved(
            make_cxr(_pixels(chance.randrange(8)), **common | {"InstanceNumber": number} | KINDS[kind]),
            folder / f"{name}-{number}-{kind}.dcm",
        )
        for number, kind in enumerate(kinds, start=1)
    ]


def kind(file: Path) -> str:
    """What the film in this file is to end as."""
    return file.stem.rpartition("-")[2]


@cache
def _pixels(seed: int) -> NDArray[Any]:
    return np.ascontiguousarray(chest_like(192, 180, seed=seed))
