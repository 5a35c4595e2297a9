"""An instance on its way through an analysis: opened, chosen to be read or not, and decoded."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from cxrnode.decoding.pixels import read_at_least, side_wanted
from cxrnode.errors import Refused, Unreadable
from cxrnode.finding import Algorithm, Finding, Outcome, Reading, Refusal
from cxrnode.headers.eligible import choose
from cxrnode.headers.header import text
from cxrnode.headers.opening import parsed
from cxrnode.radiograph import Radiograph
from cxrnode.settings import Settings
from cxrnode.stopwatch import Clock, stage
from cxrnode.study import Instance, Study


@dataclass
class Image:
    """One instance on its way: the data set, then either a reading that says why not, or a radiograph to be read."""

    instance: Instance
    dataset: Dataset | None = None
    warnings: tuple[str, ...] = ()
    radiograph: Radiograph | None = None
    answer: Finding | Refusal | None = None
    """the model's"""
    reading: Reading | None = None

    def end(self, outcome: Outcome, reason: str) -> None:
        """This image is not read, and here is why."""
        self.reading = Reading(self.instance.sop_instance_uid, outcome, reason, warnings=self.warnings)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A study's images, each with its radiograph or its reading, and the time that it has taken so far."""

    images: list[Image]
    clock: Clock

    @property
    def legible(self) -> list[tuple[Image, Radiograph]]:
        """Those that the model is to read."""
        return [(image, image.radiograph) for image in self.images if image.radiograph is not None]


def prepare(study: Study, algorithm: Algorithm, settings: Settings) -> Prepared:
    """Open a study's instances, choose which are read and decode those; each of the others has its reading already."""
    clock = Clock()
    with clock.running():
        return Prepared(prepare_images(study, algorithm, settings), clock)


def prepare_images(study: Study, algorithm: Algorithm, settings: Settings) -> list[Image]:
    """The same, on whichever clock runs."""
    with stage("open"):
        images = [open_image(instance) for instance in study.instances]
    opened = [(image, image.dataset) for image in images if image.dataset is not None]
    verdicts = choose([dataset for _, dataset in opened], settings.rules, algorithm)
    mixed = mixed_up(opened) + study.warnings
    for (image, dataset), verdict in zip(opened, verdicts, strict=True):
        image.warnings = mixed + verdict.warnings
        if verdict.outcome is not None:
            image.end(verdict.outcome, verdict.reason)
            continue
        try:
            with stage("decode"):
                image.radiograph = read_at_least(dataset, side_wanted(algorithm, settings))
        except Refused as error:
            image.end(Outcome.REFUSED, str(error))
        except Unreadable as error:
            image.end(Outcome.FAILED, str(error))
    return images


def mixed_up(opened: Sequence[tuple[Image, Dataset]]) -> tuple[str, ...]:
    """That the images of one study name different patients, and which of them its results carry; without values."""
    borne = "corrected" if any(image.instance.corrected for image, _ in opened) else "latest received"
    return tuple(
        f"{keyword} differs among the images of this study; the {borne} one is used."
        for keyword in ("PatientID", "PatientName")
        if len({text(dataset, keyword) for _, dataset in opened}) > 1
    )


def open_image(instance: Instance) -> Image:
    """The instance with its data set, or with the reading that says why it has none."""
    image = Image(instance)
    try:
        image.dataset = parsed(instance.path)
    except Unreadable as error:
        image.end(Outcome.FAILED, str(error))
    return image
