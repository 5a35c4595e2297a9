"""Route: the settings' word on which model reads a study and where its results go; conditions are data, never code."""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated

from pydantic import Field, field_validator

from cxrnode.settings.part import AeTitle, Name, Part, Prevalence

Terms = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
Years = Annotated[int, Field(ge=0, le=150)]


class Route(Part):
    """A model and destinations, for a study with an image that meets every condition; with `stat` before all others.

    A condition that is not given is met by any image; one that is given is not met by an image that does not tell.
    """

    name: Name
    modality: Terms | None = None
    body_part: Terms | None = None
    view: Terms | None = None
    age_years: tuple[Years, Years] | None = None
    calling_ae: Annotated[tuple[AeTitle, ...], Field(min_length=1)] | None = None
    model: Annotated[str, Field(min_length=1)]
    prevalence: Prevalence | None = None
    shadow: str | None = None
    destinations: tuple[Name, ...] | None = None
    stat: bool = False

    @field_validator("modality", "body_part", "view")
    @classmethod
    def _in_capitals(cls, terms: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return terms and tuple(term.strip().upper() for term in terms)

    @field_validator("age_years")
    @classmethod
    def _youngest_first(cls, ages: tuple[int, int] | None) -> tuple[int, int] | None:
        if ages and ages[0] > ages[1]:
            raise ValueError(f"runs from {ages[0]} to {ages[1]}; wanted the youngest first")
        return ages


def route_faults(
    routes: Sequence[Route], destinations: Collection[str], modalities: Collection[str], views: Collection[str]
) -> Iterator[str]:
    """Every way in which routes disagree with one another, the destinations, or what the node reads at all."""
    names = [route.name for route in routes]
    if len(set(names)) != len(names):
        yield f"routes share a name: {', '.join(names)}; wanted one name each"
    for route in routes:
        if route.shadow == route.model:
            yield f"route {route.name}: shadow = {route.shadow!r} is its model; wanted another, or none"
        for name in route.destinations or ():
            if name not in destinations:
                known = ", ".join(destinations) or "none is there"
                yield f"route {route.name}: destination {name!r} is unknown; wanted one of: {known}"
        for condition, wanted, read in (("modality", route.modality, modalities), ("view", route.view, views)):
            for term in wanted or ():
                if term not in read:
                    yield (
                        f"route {route.name}: {condition} {term!r} is never read; wanted one of: {', '.join(read)} "
                        "(from [rules])"
                    )
