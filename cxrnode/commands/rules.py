"""`cxrnode rules test`: which route would take each study, and why; nothing is read by a model, written or sent."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from cxrnode.commands.offline import files_below, group
from cxrnode.finding import Algorithm, Outcome
from cxrnode.headers.eligible import Verdict, choose
from cxrnode.headers.routing import Decision, Trial, decide, headers
from cxrnode.results.words import percent
from cxrnode.settings import Settings
from cxrnode.study import Instance, Study
from models.card import find
from models.ensemblecard import card_of

UNREAD = Verdict(Outcome.FAILED, "The file cannot be parsed as DICOM; wanted a PS3.10 file")


@dataclass(frozen=True)
class RouteLine:
    """One route before one image: whether every condition is met, else the first that is not."""

    route: str
    met: bool
    condition: str = ""
    value: str = ""
    wanted: str = ""


@dataclass(frozen=True)
class ImageLine:
    """One image: `read`, or the outcome it would have unread, with the sentence, the warnings and every route."""

    file: str
    verdict: str
    reason: str
    warnings: tuple[str, ...]
    routes: tuple[RouteLine, ...]


@dataclass(frozen=True)
class StudyLine:
    """One study: the route that takes it, what reads it and where its results would go; no model: nothing reads it."""

    study_instance_uid: str
    route: str
    model: str
    prevalence: float | None
    operating_point: float | None
    destinations: tuple[str, ...]
    reason: str
    images: tuple[ImageLine, ...]


def foretell(paths: Sequence[Path], settings: Settings, *, calling_ae: str, as_json: bool) -> None:
    """Print what would become of every study below `paths`. Raises ModelMismatch for a model that is not there."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for study in group(files_below(paths), calling_ae):
        line = foresee(study, settings)
        if as_json:
            print(json.dumps(asdict(line)), flush=True)
        else:
            console.print("\n".join(_in_words(line)))


def foresee(study: Study, settings: Settings) -> StudyLine:
    """What would become of one study, by the headers alone."""
    decision = decide(study, settings)
    algorithm = None
    if decision.choice is not None:
        card = card_of(find(decision.choice.model, settings.model.zoo))
        algorithm = card.algorithm(decision.choice.prevalence)
    return StudyLine(
        study_instance_uid=study.study_instance_uid,
        route=decision.route,
        model=algorithm.name if algorithm else "",
        prevalence=algorithm.prevalence if algorithm else None,
        operating_point=algorithm.operating_point if algorithm else None,
        destinations=decision.destinations,
        reason=decision.reason,
        images=tuple(_images(study, settings, decision, algorithm)),
    )


def _images(study: Study, settings: Settings, decision: Decision, algorithm: Algorithm | None) -> Iterator[ImageLine]:
    opened = list(headers(study))
    verdicts = choose([dataset for _, dataset in opened], settings.rules, algorithm)
    told = {instance: verdict for (instance, _), verdict in zip(opened, verdicts, strict=True)}
    trials = {trial.instance: trial for trial in decision.trials}
    for instance in study.instances:
        verdict = told.get(instance, UNREAD)
        if algorithm is None and verdict.outcome in (None, Outcome.REFUSED):
            verdict = Verdict(Outcome.NOT_APPLICABLE, decision.reason)
        routes = tuple(_routes(trials.get(instance), settings))
        yield _image_line(instance, verdict, routes)


def _image_line(instance: Instance, verdict: Verdict, routes: tuple[RouteLine, ...]) -> ImageLine:
    word = "read" if verdict.outcome is None else verdict.outcome.value
    return ImageLine(str(instance.path), word, verdict.reason, verdict.warnings, routes)


def _routes(trial: Trial | None, settings: Settings) -> Iterator[RouteLine]:
    for route, miss in zip(settings.routes, trial.misses if trial else (), strict=trial is not None):
        if miss is None:
            yield RouteLine(route.name, met=True)
        else:
            yield RouteLine(route.name, met=False, condition=miss.condition, value=miss.value, wanted=miss.wanted)


def _in_words(line: StudyLine) -> Iterator[str]:
    if line.model:
        taken = f"route {line.route}" if line.route else "no routes in the settings"
        held_for = percent(line.prevalence) if line.prevalence is not None else ""
        yield f"Study of {len(line.images)}: {taken}; model {line.model} at {held_for} prevalence; to {_to(line)}"
    else:
        yield f"Study of {len(line.images)}: read by no model; {line.reason or 'no frontal chest radiograph'}"
    for image in line.images:
        yield f"  {image.file}: {image.verdict}: {image.reason}"
        yield from (f"    warning: {warning}" for warning in image.warnings)
        for route in image.routes:
            missed = f"{route.condition} is {route.value}; wanted {route.wanted}"
            yield f"    route {route.route}: {'met' if route.met else missed}"


def _to(line: StudyLine) -> str:
    return ", ".join(line.destinations) or "no destination"
