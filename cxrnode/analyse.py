"""The heart: studies in, readings and result objects out; no queue, no network; readable in one sitting."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from typing import Protocol

from pydicom import Dataset

from cxrnode import __version__
from cxrnode.destination import families_wanted
from cxrnode.eligible import choose
from cxrnode.errors import Refused, Unreadable
from cxrnode.family import Family
from cxrnode.faultpoints import Point, reached
from cxrnode.finding import Algorithm, Finding, Outcome, Reading, Refusal, study_outcome
from cxrnode.header import text
from cxrnode.opening import parsed
from cxrnode.pixels import read_radiograph
from cxrnode.radiograph import Radiograph
from cxrnode.regions import regions
from cxrnode.results.context import ResultContext
from cxrnode.results.encode import encode
from cxrnode.results.make import Made, Told, make
from cxrnode.results.words import localisation_sentence
from cxrnode.settings import Settings
from cxrnode.study import Instance, Study
from cxrnode.uids import RoundIdentity


class Model(Protocol):
    """What this room asks of a model; `models.reader` has one."""

    @property
    def algorithm(self) -> Algorithm:
        """What results say of the model."""

    def read(self, radiographs: Sequence[Radiograph]) -> Sequence[Finding | Refusal]:
        """One answer a radiograph, in order."""


@dataclass(frozen=True)
class ResultObject:
    """One object for the PACS: its bytes (PS3.10) are made once and kept.

    `outcomes` are those of the images that it is about: they decide who is sent it.
    """

    family: Family
    outcomes: frozenset[Outcome]
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    content: bytes


@dataclass
class Image:
    """One instance on its way: the data set, then either a reading that says why not, or a radiograph to be read."""

    instance: Instance
    dataset: Dataset | None = None
    warnings: tuple[str, ...] = ()
    radiograph: Radiograph | None = None
    reading: Reading | None = None

    def end(self, outcome: Outcome, reason: str) -> None:
        """This image is not read, and here is why."""
        self.reading = Reading(self.instance.sop_instance_uid, outcome, reason, warnings=self.warnings)


@dataclass(frozen=True)
class Analysis:
    """What came of one study: its outcome, a reading an instance in order, the objects, milliseconds by stage."""

    outcome: Outcome
    readings: tuple[Reading, ...]
    objects: tuple[ResultObject, ...]
    stages_ms: dict[str, float] = field(default_factory=dict)


def analyse(studies: Sequence[Study], model: Model, settings: Settings, now: datetime) -> list[Analysis]:
    """Read every eligible radiograph of these studies in one call of the model, and make each study's results."""
    clocks = [Clock() for _ in studies]
    prepared = []
    for study, clock in zip(studies, clocks, strict=True):
        with clock.stage("decode"):
            prepared.append(prepare(study, model.algorithm, settings))

    read_images(prepared, model, clocks, draw_astray=settings.results.not_localised == "draw")
    reached(Point.MID_ANALYSIS)

    analyses = []
    for study, images, clock in zip(studies, prepared, clocks, strict=True):
        readings = all_readings(images)
        with clock.stage("results"):
            objects = make_objects(study, images, model.algorithm, settings, now)
        outcome = study_outcome(reading.outcome for reading in readings)
        analyses.append(Analysis(outcome, readings, objects, clock.ms))
    return analyses


def all_readings(images: Sequence[Image]) -> tuple[Reading, ...]:
    """The readings, one an image, once each has its own."""
    return tuple(image.reading for image in images if image.reading is not None)


def leave_unread(study: Study, settings: Settings, reason: str) -> Analysis:
    """What becomes of a study that no route takes: no image is read and nothing made, for `reason` or its own."""
    images = [open_image(instance) for instance in study.instances]
    opened = [(image, image.dataset) for image in images if image.dataset is not None]
    verdicts = choose([dataset for _, dataset in opened], settings.rules, None)
    for (image, _), verdict in zip(opened, verdicts, strict=True):
        own = verdict.reason if verdict.outcome is Outcome.NOT_APPLICABLE else reason
        image.end(Outcome.NOT_APPLICABLE, own)
    readings = all_readings(images)
    return Analysis(study_outcome(reading.outcome for reading in readings), readings, ())


def give_up(study: Study, algorithm: Algorithm, settings: Settings, reason: str, now: datetime) -> Analysis:
    """What becomes of a study whose analysis stops whoever tries it: each image failed, told from the headers alone."""
    images = [Image(instance) for instance in study.instances]
    for image in images:
        with suppress(Unreadable):
            image.dataset = parsed(image.instance.path, pixels=False)
        image.end(Outcome.FAILED, reason)
    readings = all_readings(images)
    return Analysis(Outcome.FAILED, readings, make_objects(study, images, algorithm, settings, now))


def prepare(study: Study, algorithm: Algorithm, settings: Settings) -> list[Image]:
    """Open a study's instances, choose which are read and decode those; each of the others has its reading already."""
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
            image.radiograph = Radiograph.of(read_radiograph(dataset))
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


def read_images(
    prepared: Sequence[Sequence[Image]], model: Model, clocks: Sequence["Clock"], *, draw_astray: bool = False
) -> None:
    """Give every decoded image its reading; each is charged an even share of the one pass's time."""
    legible = [
        (image, image.radiograph, clock)
        for images, clock in zip(prepared, clocks, strict=True)
        for image in images
        if image.radiograph is not None
    ]
    if not legible:
        return
    started = perf_counter()
    answers = model.read([radiograph for _, radiograph, _ in legible])
    share_ms = (perf_counter() - started) * 1000 / len(legible)
    for (image, _, clock), answer in zip(legible, answers, strict=True):
        clock.ms["read"] = clock.ms.get("read", 0.0) + share_ms
        if isinstance(answer, Refusal):
            image.end(Outcome.REFUSED, answer.reason)
            continue
        image.warnings += answer.warnings
        image.reading = reading_of(image, answer, model.algorithm, draw_astray=draw_astray)


def reading_of(image: Image, finding: Finding, algorithm: Algorithm, *, draw_astray: bool) -> Reading:
    """What a finding means for this image; a positive has regions, unless its map points outside the lungs."""
    uid, outcome = image.instance.sop_instance_uid, algorithm.judge(finding.probability)
    if outcome is not Outcome.POSITIVE or image.dataset is None or image.radiograph is None:
        return Reading(uid, outcome, "", finding, image.warnings)
    rows, columns = image.radiograph.shape
    shown = finding.localised or draw_astray
    found = regions(finding.heatmap, rows, columns, image.dataset) if shown else ()
    return Reading(uid, outcome, localisation_sentence(finding), finding, image.warnings, found)


def make_objects(
    study: Study, images: Sequence[Image], algorithm: Algorithm, settings: Settings, now: datetime
) -> tuple[ResultObject, ...]:
    """What some destination wants of these images; nothing when none is a frontal chest radiograph."""
    told = [
        Told(image.dataset, image.reading, image.radiograph)
        for image in images
        if image.dataset is not None and image.reading is not None
    ]
    context = result_context(study, algorithm, settings, now, bearer(images))
    return tuple(_object(made) for made in make(told, families_wanted(settings.destinations), context))


def bearer(images: Sequence[Image]) -> Dataset | None:
    """Whose patient and study the results carry: the latest corrected copy's, else the latest applicable image's."""
    opened = [image for image in images if image.dataset is not None]
    corrected = [image.dataset for image in opened if image.instance.corrected]
    applicable = [
        image.dataset for image in opened if image.reading and image.reading.outcome is not Outcome.NOT_APPLICABLE
    ]
    return next(reversed(corrected or applicable), None)


def result_context(
    study: Study, algorithm: Algorithm, settings: Settings, now: datetime, patient: Dataset | None
) -> ResultContext:
    """What the results of one study need besides the readings; the identity holds all that decides their content."""
    identity = RoundIdentity(
        node=settings.node.name,
        study_instance_uid=study.study_instance_uid,
        round_number=study.round_number,
        sources=tuple(sorted(instance.sha256 for instance in study.instances)),
        card=algorithm.digest,
        software=__version__,
        settings=settings.result_digest,
        started_at=now.isoformat(),
    )
    return ResultContext(
        identity=identity,
        algorithm=algorithm,
        started_at=now.astimezone(),  # a person reads it: the hospital's own zone
        software_version=__version__,
        station_name=settings.node.name,
        overlay_longest_side=settings.results.overlay_longest_side,
        draw_not_localised=settings.results.not_localised == "draw",
        language=settings.results.language,
        predecessor=study.predecessor,
        bearer=patient,
    )


class Clock:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        started = perf_counter()
        yield
        self.ms[name] = (perf_counter() - started) * 1000


def _object(made: Made) -> ResultObject:
    dataset = made.dataset
    uids = (str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), str(dataset.SeriesInstanceUID))
    return ResultObject(made.family, made.outcomes, *uids, content=encode(dataset))
