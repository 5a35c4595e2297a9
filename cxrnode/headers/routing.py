"""Which route takes a study: its model, its destinations, and the first condition that each other route missed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pydicom import Dataset

from cxrnode.errors import Unreadable
from cxrnode.finding import Outcome
from cxrnode.headers.age import patient_age
from cxrnode.headers.anatomy import view_of
from cxrnode.headers.eligible import Verdict, choose
from cxrnode.headers.header import text
from cxrnode.headers.opening import parsed
from cxrnode.settings import Rules, Settings
from cxrnode.settings.route import Route
from cxrnode.study import Instance, Study


@dataclass(frozen=True)
class Choice:
    """A model by its name, and the prevalence that its probabilities are to hold for (None: its card's)."""

    model: str
    prevalence: float | None = None


@dataclass(frozen=True)
class Miss:
    """The first condition of a route that an image does not meet: its value (`absent` when it does not tell one)."""

    route: str
    condition: str
    value: str
    wanted: str


@dataclass(frozen=True)
class Trial:
    """One image before the routes: eligibility's verdict without a model, and what each route says, in their order."""

    instance: Instance
    verdict: Verdict
    misses: tuple[Miss | None, ...]
    """None: the route's conditions are met"""


@dataclass(frozen=True)
class Decision:
    """What happens to a study; with no `choice` no model reads it, for `reason` or for each image's own."""

    route: str
    choice: Choice | None
    destinations: tuple[str, ...]
    reason: str = ""
    trials: tuple[Trial, ...] = ()
    stat: bool = False
    """whether the route puts it before all that is not STAT"""
    shadow: str = ""
    """the model that reads it too, when nothing live waits, and of which nothing is sent"""


def choices(settings: Settings) -> tuple[Choice, ...]:
    """Every model that the settings may ask for, each once; those that read live before those that are shadows."""
    if not settings.routes:
        live = [(Choice(settings.model.name, settings.model.prevalence), settings.model.shadow)]
    else:
        live = [(_choice(route, settings), _shadow(route, settings)) for route in settings.routes]
    shadows = [Choice(shadow, choice.prevalence) for choice, shadow in live if shadow]
    return tuple(dict.fromkeys([*(choice for choice, _ in live), *shadows]))


def decide(study: Study, settings: Settings) -> Decision:
    """The first route that an image to be read meets, else an image that would be refused with a report.

    Without any route the model and the destinations of the settings.
    """
    everywhere = tuple(one.name for one in settings.destinations if one.name != settings.canary.destination)
    if not settings.routes:
        return Decision("", choices(settings)[0], everywhere, shadow=settings.model.shadow)
    trials = tuple(_trials(study, settings))
    asked = _asked(trials)
    for number, route in enumerate(settings.routes):
        if any(trial.misses[number] is None for trial in asked):
            destinations = everywhere if route.destinations is None else route.destinations
            choice, shadow = _choice(route, settings), _shadow(route, settings)
            return Decision(route.name, choice, destinations, trials=trials, stat=route.stat, shadow=shadow)
    return Decision("", None, (), _nobody(asked[0]) if asked else "", trials)


def of_canary(decision: Decision, settings: Settings) -> Decision:
    """What happens to a canary: a model reads it whatever the routes say, for its own destination alone."""
    to = (settings.canary.destination,) if settings.canary.destination else ()
    return replace(decision, choice=decision.choice or choices(settings)[0], destinations=to)


def first_miss(dataset: Dataset, calling_ae: str, route: Route, rules: Rules) -> Miss | None:
    """The first condition of the route that the image does not meet, in the order of the settings; None: it meets all.

    `calling_ae` is empty where nobody knows who sent it.
    """
    terms = (
        ("modality", text(dataset, "Modality"), route.modality),
        ("body_part", text(dataset, "BodyPartExamined"), route.body_part),
        ("view", view_of(dataset, rules).term, route.view),
    )
    for condition, value, wanted in terms:
        if wanted is not None and value.upper() not in wanted:
            return Miss(route.name, condition, value or "absent", ", ".join(wanted))
    age = patient_age(dataset)
    if route.age_years is not None and not (age and route.age_years[0] <= age.years <= route.age_years[1]):
        youngest, oldest = route.age_years
        return Miss(route.name, "age_years", age.words if age else "absent", f"{youngest} to {oldest}")
    if route.calling_ae is not None and calling_ae not in route.calling_ae:
        return Miss(route.name, "calling_ae", calling_ae or "absent", ", ".join(route.calling_ae))
    return None


def headers(study: Study) -> Iterator[tuple[Instance, Dataset]]:
    """The instances that can be parsed, without their pixels."""
    for instance in study.instances:
        try:
            yield instance, parsed(instance.path, pixels=False)
        except Unreadable:
            continue


def _trials(study: Study, settings: Settings) -> Iterator[Trial]:
    opened = list(headers(study))
    verdicts = choose([dataset for _, dataset in opened], settings.rules, None)
    for (instance, dataset), verdict in zip(opened, verdicts, strict=True):
        misses = (first_miss(dataset, instance.calling_ae, route, settings.rules) for route in settings.routes)
        yield Trial(instance, verdict, tuple(misses))


def _asked(trials: Sequence[Trial]) -> list[Trial]:
    """The images that decide: those to be read; without any those to be refused, whose report must go somewhere."""
    read = [trial for trial in trials if trial.verdict.outcome is None]
    return read or [trial for trial in trials if trial.verdict.outcome is Outcome.REFUSED]


def _nobody(trial: Trial) -> str:
    """Names the routes and what each asked for, and no value of the patient's: the ledger keeps this sentence."""
    told = ", ".join(f"{miss.route} ({miss.condition})" for miss in trial.misses if miss)
    return f"No route takes this study; asked, with the condition that was not met: {told}"


def _choice(route: Route, settings: Settings) -> Choice:
    return Choice(route.model, settings.model.prevalence if route.prevalence is None else route.prevalence)


def _shadow(route: Route, settings: Settings) -> str:
    """Its own, else that of [model], unless that reads here anyway."""
    shadow = settings.model.shadow if route.shadow is None else route.shadow
    return "" if shadow == route.model else shadow
