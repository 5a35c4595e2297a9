"""Which side of the picture is the patient's left, by Patient Orientation alone: never guessed."""

import re

from pydicom import Dataset

from cxrnode.finding import Side
from cxrnode.headers.header import texts

DIRECTION = re.compile(r"[LRAPHF]{1,3}")
"""Where rows or columns run to (PS3.3 C.7.6.1.1.1): the patient's left, right, anterior, posterior, head, feet."""


def sides(dataset: Dataset) -> tuple[Side, Side] | None:
    """The patient's sides at the picture's left and right edge; None when the header does not say, or says no side.

    Patient Orientation (0020,0020) has the direction of the rows first: `L` is a picture whose right edge shows the
    patient's left.
    """
    directions = texts(dataset, "PatientOrientation")
    if len(directions) != 2 or not all(DIRECTION.fullmatch(one) for one in directions):
        return None
    match directions[0][0]:
        case "L":
            return Side.RIGHT, Side.LEFT
        case "R":
            return Side.LEFT, Side.RIGHT
        case _:
            return None
