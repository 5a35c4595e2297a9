"""Finding, Heatmap, Region, Reading, Outcome: what was seen, as numbers with a meaning."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Outcome(StrEnum):
    """What became of one image, or of a study, in the order that `study_outcome` prefers."""

    POSITIVE = "positive"
    FAILED = "failed"
    REFUSED = "refused"
    NEGATIVE = "negative"
    NOT_APPLICABLE = "not_applicable"

    @property
    def analysed(self) -> bool:
        """Whether a model has looked at the pixels and given a probability."""
        return self in (Outcome.POSITIVE, Outcome.NEGATIVE)


def study_outcome(outcomes: Iterable[Outcome]) -> Outcome:
    """One outcome for a study: positive, else failed, else refused, else negative, else not applicable.

    A negative image never hides one that could not be read.
    """
    return min(outcomes, key=list(Outcome).index, default=Outcome.NOT_APPLICABLE)


class MapMethod(StrEnum):
    """How a heatmap came about, by the name that results give it."""

    GRAD_CAM = "Grad-CAM"
    ATTENTION_ROLLOUT = "attention rollout"


@dataclass(frozen=True)
class Span:
    """The part of the image that a map covers: its edges as fractions of the image's rows and columns.

    The default is the whole image; a map of a cropped input covers less.
    """

    top: float = 0.0
    left: float = 0.0
    bottom: float = 1.0
    right: float = 1.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.top < self.bottom <= 1.0 and 0.0 <= self.left < self.right <= 1.0):
            raise ValueError(f"span is {self}, wanted edges within the image")


WHOLE = Span()


@dataclass(frozen=True, eq=False)
class Heatmap:
    """Where a model looked: (h, w) float32 in [0, 1] that spans `span` of the image from edge to edge.

    The values are relative to the map's own maximum; `peak` is that maximum as the method gave it, before scaling:
    in the logit's unit for Grad-CAM, a share of the attention for attention rollout, which is not of one class.
    A map with peak 0 says nothing and is all zeros.
    """

    values: NDArray[np.float32]
    peak: float
    method: MapMethod
    span: Span = WHOLE

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.float32:
            raise ValueError(f"heatmap is {self.values.dtype} {self.values.shape}, wanted float32 of two dimensions")
        if not (float(self.values.min()) >= 0.0 and float(self.values.max()) <= 1.0):
            raise ValueError("heatmap values lie outside [0, 1]")

    def resized(self, rows: int, columns: int) -> NDArray[np.float32]:
        """The map on a grid that spans the whole image, (rows, columns) float32 in [0, 1], bilinear; 0 off the map."""
        if self.span == WHOLE and rows >= self.values.shape[0] and columns >= self.values.shape[1]:
            import cv2  # does the same in a seventh of the time; no command waits for it that enlarges no map

            enlarged = cv2.resize(self.values, (columns, rows), interpolation=cv2.INTER_LINEAR)
            return np.clip(np.asarray(enlarged, dtype=np.float32), 0.0, 1.0)
        top, bottom = math.ceil(self.span.top * rows), math.floor(self.span.bottom * rows)
        left, right = math.ceil(self.span.left * columns), math.floor(self.span.right * columns)
        y, x = self._places(np.array([top, bottom]) / rows, np.array([left, right]) / columns)
        image = Image.fromarray(self.values).resize(
            (right - left, bottom - top), Image.Resampling.BILINEAR, box=(x[0], y[0], x[1], y[1])
        )
        spread = np.zeros((rows, columns), dtype=np.float32)
        spread[top:bottom, left:right] = np.clip(np.asarray(image, dtype=np.float32), 0.0, 1.0)
        return spread

    def _places(
        self, y: NDArray[np.float64], x: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fractions of the image's rows and columns -> places on the map's grid, 0 at its first pixel's outer edge."""
        rows, columns = self.values.shape
        down = (y - self.span.top) / (self.span.bottom - self.span.top) * rows
        across = (x - self.span.left) / (self.span.right - self.span.left) * columns
        return down.clip(0, rows), across.clip(0, columns)


class Side(StrEnum):
    """Which of the patient's lungs."""

    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, eq=False)
class Region:
    """One connected part of an image where its map is strong.

    `outline` is (n, 2) float64 of column and row in the source's pixels, (0, 0) the outer corner of the first pixel
    (PS3.3 C.18.6.1.1); it is closed: its last point is its first. `peak` is the map's maximum inside, raw as
    `Heatmap.peak` is. `side` None: the patient's orientation does not tell, or the region lies on both.
    """

    outline: NDArray[np.float64]
    peak: float
    side: Side | None = None

    def __post_init__(self) -> None:
        if self.outline.ndim != 2 or self.outline.shape[1] != 2 or len(self.outline) < 4:
            raise ValueError(f"outline is {self.outline.shape}, wanted (4 or more, 2)")
        if not np.array_equal(self.outline[0], self.outline[-1]):
            raise ValueError("outline is open, wanted its last point to be its first")


@dataclass(frozen=True)
class Refusal:
    """Why a model does not read a radiograph whose header let it pass: one sentence about its pixels."""

    reason: str


@dataclass(frozen=True, eq=False)
class Finding:
    """What the model says of one radiograph: the raw logit, the calibrated probability in [0, 1], the map.

    `lung_share` is the part of the map's mass, in [0, 1], that lies in the lungs; None when nobody looked for lungs.
    `localised` is False when too little of it does for the map to be shown as a finding.
    `warnings` are sentences about the pixels that a reader of the result should know.
    """

    logit: float
    probability: float
    heatmap: Heatmap
    lung_share: float | None = None
    localised: bool = True
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability is {self.probability}, wanted a number in [0, 1]")


@dataclass(frozen=True)
class Reference:
    """What a model's own films looked like to it: how many fell in each tenth of probability, and which they were."""

    source: str
    tenths: tuple[int, ...]


@dataclass(frozen=True)
class Algorithm:
    """What a result must say of the model that made it; taken from the model's card.

    `digest` is the sha256 of everything on the card that changes a result, and of the prevalence that is not the
    card's; `device_uid` is derived from it. `prevalence` and `operating_point` go together: where a site has set its
    own prevalence both are shifted to it, and `card_prevalence` is what the card says.
    """

    name: str
    version: str
    digest: str
    device_uid: str
    weights_sha256: str
    operating_point: float
    prevalence: float
    population: str
    age_years: tuple[int, int]
    views: tuple[str, ...] = ()
    """the views that the model was trained on; none: not known"""
    modalities: tuple[str, ...] = ()
    """likewise"""
    card_prevalence: float | None = None
    """None: `prevalence` is the card's own"""
    explanation: MapMethod = MapMethod.GRAD_CAM
    side: int = 224
    """the longer side of what the network is fed, in pixels"""
    reference: Reference | None = None
    """at the card's prevalence; None: the card has none"""

    def judge(self, probability: float) -> Outcome:
        """Positive at or above the operating point."""
        return Outcome.POSITIVE if probability >= self.operating_point else Outcome.NEGATIVE


@dataclass(frozen=True, eq=False)
class Reading:
    """One image's outcome: a finding when it was analysed, else the sentence that says why not.

    The reason of a positive is empty, or says that its map is not localised. `regions` are those that results show,
    the strongest first: none of a negative, nor of a map that is not to be shown.
    """

    sop_instance_uid: str
    outcome: Outcome
    reason: str = ""
    finding: Finding | None = None
    warnings: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()

    def __post_init__(self) -> None:
        if self.outcome.analysed != (self.finding is not None):
            raise ValueError(f"a {self.outcome} reading has finding {self.finding}")
        if not self.outcome.analysed and not self.reason:
            raise ValueError(f"a {self.outcome} reading needs a reason")
