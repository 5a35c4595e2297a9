"""The heart: studies in, readings and result objects out; no queue, no network; readable in one sitting."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import chain, islice
from time import perf_counter
from typing import Protocol

from pydicom import Dataset

from cxrnode import __version__
from cxrnode.ahead import ahead
from cxrnode.decoding.image import Image, Prepared, open_image, prepare
from cxrnode.errors import Unreadable
from cxrnode.family import Family
from cxrnode.faultpoints import Point, reached
from cxrnode.finding import Algorithm, Finding, Outcome, Reading, Refusal, study_outcome
from cxrnode.headers.eligible import choose
from cxrnode.headers.opening import parsed
from cxrnode.radiograph import Radiograph
from cxrnode.regions import regions
from cxrnode.results.context import ResultContext
from cxrnode.results.encode import encode
from cxrnode.results.make import Made, Told, make
from cxrnode.results.words import localisation_sentence
from cxrnode.settings import Settings
from cxrnode.settings.destination import families_wanted
from cxrnode.stopwatch import Clock, stage
from cxrnode.study import Study
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


@dataclass(frozen=True)
class Analysis:
    """What came of one study: its outcome, a reading an instance in order, the objects, milliseconds by stage."""

    outcome: Outcome
    readings: tuple[Reading, ...]
    objects: tuple[ResultObject, ...]
    stages_ms: dict[str, float] = field(default_factory=dict)


def analyse(studies: Sequence[Study], model: Model, settings: Settings, now: datetime) -> list[Analysis]:
    """Read every eligible radiograph of these studies in one call of the model, and make each study's results."""
    analyses = []
    for analysis in chain.from_iterable(analysed(studies, model, settings, now, len(studies))):
        if isinstance(analysis, Exception):
            raise analysis
        analyses.append(analysis)
    return analyses


def analysed(
    studies: Sequence[Study], model: Model, settings: Settings, now: datetime, together: int
) -> Iterator[list[Analysis | Exception]]:
    """The same pass by pass, in the order of the studies, `together` of them in one call of the model.

    While the model reads those of one pass, the studies of the next are opened and decoded in a thread. A study that
    cannot be analysed has its error in its place; a fault of the model is that of every study of the pass.
    """
    calls = [partial(prepare, study, model.algorithm, settings) for study in studies]
    coming = zip(studies, ahead(calls, together + 1), strict=True)
    while some := list(islice(coming, together)):
        fault = None
        try:
            read_images([one for _, one in some if isinstance(one, Prepared)], model)
            reached(Point.MID_ANALYSIS)
        except Exception as error:  # noqa: BLE001  whose it is can be told only when each study is read alone
            fault = error
        yield [
            one if isinstance(one, Exception) else fault or conclude(study, one, model.algorithm, settings, now)
            for study, one in some
        ]


def conclude(
    study: Study, prepared: Prepared, algorithm: Algorithm, settings: Settings, now: datetime
) -> Analysis | Exception:
    """The results of a study whose images have their readings."""
    images, clock = prepared.images, prepared.clock
    try:
        with clock.running():
            for image in images:
                judge(image, algorithm, draw_astray=settings.results.not_localised == "draw")
            readings = all_readings(images)
            objects = make_objects(study, images, algorithm, settings, now)
    except Exception as error:  # noqa: BLE001  no other study is to suffer from it
        return error
    return Analysis(study_outcome(reading.outcome for reading in readings), readings, objects, clock.ms)


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


def read_images(prepared: Sequence[Prepared], model: Model) -> None:
    """Give every decoded image its reading; each is charged an even share of each stage of the one pass."""
    legible = [(image, radiograph, one.clock) for one in prepared for image, radiograph in one.legible]
    if not legible:
        return
    whole, started = Clock(), perf_counter()
    with whole.running():
        answers = model.read([radiograph for _, radiograph, _ in legible])
    whole.add("read", (perf_counter() - started) * 1000 - sum(whole.ms.values()))  # all but what has a name of its own
    for (image, _, clock), answer in zip(legible, answers, strict=True):
        for name, ms in whole.ms.items():
            clock.add(name, ms / len(legible))
        image.answer = answer


def judge(image: Image, algorithm: Algorithm, *, draw_astray: bool) -> None:
    """Make of the model's answer the image's reading."""
    if isinstance(image.answer, Refusal):
        image.end(Outcome.REFUSED, image.answer.reason)
    elif image.answer is not None:
        image.warnings += image.answer.warnings
        with stage("regions"):
            image.reading = reading_of(image, image.answer, algorithm, draw_astray=draw_astray)


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


def _object(made: Made) -> ResultObject:
    dataset = made.dataset
    uids = (str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), str(dataset.SeriesInstanceUID))
    with stage("encode"):
        return ResultObject(made.family, made.outcomes, *uids, content=encode(dataset))
