"""Readings and contexts for the tests of the results: made-up figures and a map with its peak off the middle."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset

from cxrnode.finding import Finding, Heatmap, Outcome, Reading
from cxrnode.regions import regions
from cxrnode.results.context import ResultContext
from cxrnode.results.encode import encode
from cxrnode.results.words import localisation_sentence
from cxrnode.study import Predecessor
from cxrnode.uids import RoundIdentity
from tests.fakes import ALGORITHM

STARTED_AT = datetime(2026, 1, 2, 23, 20, 30, 123456, tzinfo=UTC)
PREDECESSOR = Predecessor("1.2.3", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.3.4.5")
PROBABILITY = 0.8734567890123457


def context_for(
    source: Dataset, *, round_number: int = 1, started_at: datetime = STARTED_AT, predecessor: Predecessor | None = None
) -> ResultContext:
    """The context of one round of the source's study."""
    identity = RoundIdentity(
        node="cxrnode",
        study_instance_uid=str(source.StudyInstanceUID),
        round_number=round_number,
        sources=("00" * 32,),
        card=ALGORITHM.digest,
        software="0.1.0",
        settings="11" * 32,
        started_at=started_at.isoformat(),
    )
    return ResultContext(identity, ALGORITHM, started_at, "0.1.0", "cxrnode", 1280, predecessor)


def heatmap(peak: float = 3.25, *weaker: tuple[float, float]) -> Heatmap:
    """A 7 by 7 map, as a network's last layer has: a bump in the picture's lower left, `weaker` ones by row, column."""
    y, x = np.mgrid[0:7, 0:7]
    values = np.exp(-((y - 4) ** 2 + (x - 1.5) ** 2) / 2).astype(np.float32)
    for row, column in weaker:
        values = np.maximum(
            values, np.float32(0.75) * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2, dtype=np.float32)
        )
    return Heatmap(values / values.max() if peak else values * 0, peak, "Grad-CAM")


def analysed(
    source: Dataset, probability: float = PROBABILITY, warnings: tuple[str, ...] = (), peak: float = 3.25
) -> Reading:
    """What a model said of the source."""
    finding = Finding(logit=1.5, probability=probability, heatmap=heatmap(peak))
    return Reading(str(source.SOPInstanceUID), ALGORITHM.judge(probability), finding=finding, warnings=warnings)


def astray(source: Dataset, share: float = 0.1234, *, localised: bool = False) -> Reading:
    """A positive that tells how much of its map lies in the lungs, by default too little."""
    finding = Finding(1.5, PROBABILITY, heatmap(), lung_share=share, localised=localised)
    reason = localisation_sentence(finding)
    return Reading(str(source.SOPInstanceUID), Outcome.POSITIVE, reason, finding)


def outlined(source: Dataset, *weaker: tuple[float, float], warnings: tuple[str, ...] = ()) -> Reading:
    """A positive with the regions of its map, the strongest in the picture's lower left."""
    finding = Finding(1.5, PROBABILITY, heatmap(3.25, *weaker))
    return with_regions(
        Reading(str(source.SOPInstanceUID), Outcome.POSITIVE, finding=finding, warnings=warnings), source
    )


def with_regions(reading: Reading, source: Dataset, shape: tuple[int, int] | None = None) -> Reading:
    """A positive with the regions of its map, in the pixels of the source or of an image of `shape`."""
    assert reading.finding is not None
    rows, columns = shape or (source.Rows, source.Columns)
    return replace(reading, regions=regions(reading.finding.heatmap, rows, columns, source))


def unread(
    source: Dataset, outcome: Outcome, reason: str = "ViewPosition (0018,5101) is LL; wanted PA or AP"
) -> Reading:
    """Why no model looked at the source."""
    return Reading(str(source.SOPInstanceUID), outcome, reason)


def radiograph_of(rows: int = 300, columns: int = 280) -> NDArray[np.float32]:
    """A smooth made-up radiograph in [0, 1]."""
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    return (0.5 + 0.3 * np.sin(7 * x) * np.cos(5 * y)).astype(np.float32)


def written(result: Dataset, path: Path) -> FileDataset:
    """The result after a trip through a file."""
    path.write_bytes(encode(result))
    return dcmread(path)
