"""ResultContext: what a result must know besides the source and the reading."""

from dataclasses import dataclass
from datetime import datetime

from pydicom import Dataset

from cxrnode.finding import Algorithm
from cxrnode.study import Predecessor
from cxrnode.uids import RoundIdentity


@dataclass(frozen=True, eq=False)
class ResultContext:
    """One round's who, when and how; the same context, sources and readings give the same bytes.

    `started_at` must be aware. Dates and times are written in the source's own offset from UTC where it names one,
    else in `started_at`'s zone.
    """

    identity: RoundIdentity
    algorithm: Algorithm
    started_at: datetime
    software_version: str
    station_name: str
    overlay_longest_side: int
    predecessor: Predecessor | None = None
    bearer: Dataset | None = None
    """the instance whose patient and study every result carries; None: each result's own source"""
    draw_not_localised: bool = False
    """whether the heat of a map that points outside the lungs is drawn all the same"""
    language: str = "en"
    """of the overlay's words"""

    def __post_init__(self) -> None:
        if self.started_at.tzinfo is None:
            raise ValueError(f"started_at is {self.started_at}, wanted a time with a zone")
