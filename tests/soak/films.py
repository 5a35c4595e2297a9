"""The films of a soak: made-up chests, small and cheap, and some that are refused, not applicable or cut short."""

from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from tests.builders import chest_like, make_cxr
from tests.nodes import saved

KINDS: dict[str, dict[str, object]] = {
    "read": {},
    "refused": {"PatientID": None},
    "not applicable": {"BodyPartExamined": "FOOT", "StudyDescription": "Foot"},
    "failed": {"PixelData": bytes(1000)},  # breaks off after 1000 bytes
}
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
            folder / f"{name}-{number}-{kind.replace(' ', '-')}.dcm",
        )
        for number, kind in enumerate(kinds, start=1)
    ]


@cache
def _pixels(seed: int) -> NDArray[Any]:
    return np.ascontiguousarray(chest_like(192, 180, seed=seed))
