"""What watches that readings stay good, by settings: drift, and the canary, a drawn study that must come back."""

import ipaddress
from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from typing import Literal

from pydantic import Field, model_validator

from cxrnode.settings.part import AeTitle, Part, Positive
from cxrnode.settings.route import Route
from cxrnode.settings.sender import Sender
from cxrnode.stability import BINS

HERE = "127.0.0.1"


class CanarySettings(Part):
    """A drawn film of nobody's that this node sends itself every `every_h` hours; 0 is never."""

    every_h: float = Field(default=0.0, ge=0)
    within_s: Positive = 900.0
    calling_ae: AeTitle = "CXRCANARY"
    destination: str = ""
    age_years: int = Field(default=3, ge=0, le=130)

    @property
    def every(self) -> timedelta:
        """How often."""
        return timedelta(hours=self.every_h)

    @property
    def within(self) -> timedelta:
        """In so long it must have come back."""
        return timedelta(seconds=self.within_s)


class DriftSettings(Part):
    """How many images make a reference and are held against one, and which stability index says that it has moved."""

    images: int = Field(default=500, ge=50)
    watch: Positive = 0.1
    alarm: Positive = 0.25
    since: date | Literal[""] = ""

    @model_validator(mode="after")
    def _in_order(self) -> "DriftSettings":
        if self.watch >= self.alarm:
            raise ValueError(f"watch = {self.watch:g} is not below alarm = {self.alarm:g}; wanted it below")
        fewest = int(2 * (BINS - 1) / self.alarm) + 1
        if self.images < fewest:
            told = f"so few images move by alarm = {self.alarm:g} by chance alone; wanted {fewest} or more"
            raise ValueError(f"images = {self.images} is too few: {told}")
        return self


def address_of(host: str) -> str:
    """Where a receiver that listens on `host` is called from this machine."""
    return HERE if host in {"0.0.0.0", "::", ""} else host  # noqa: S104  it is told apart, not listened on


def canary_faults(
    canary: CanarySettings,
    host: str,
    quiet_s: float,
    senders: Sequence[Sender],
    destinations: Collection[str],
    routes: Sequence[Route],
) -> Iterator[str]:
    """Every way in which a canary that is on does not agree with what else is set."""
    if canary.destination:
        if canary.destination not in destinations:
            known = ", ".join(destinations) or "none is there"
            yield f"canary.destination = {canary.destination!r} is unknown; wanted one of: {known}"
        yield from (
            f"route {route.name}: destination {canary.destination!r} is the canary's; wanted one for patients"
            for route in routes
            if canary.destination in (route.destinations or ())
        )
    if not canary.every_h:
        return
    if not quiet_s < canary.within_s <= canary.every.total_seconds():
        yield (
            f"canary.within_s = {canary.within_s:g}; wanted it above receiving.quiet_s = {quiet_s:g}, in which a study "
            f"is waited for, and not above canary.every_h = {canary.every_h:g}"
        )
    if senders and not _admitted(canary.calling_ae, address_of(host), senders):
        yield (
            f"canary.calling_ae = {canary.calling_ae!r}: no entry of receiving.senders admits it from "
            f"{address_of(host)}; wanted one, as this node sends itself the canary"
        )


def _admitted(ae_title: str, host: str, senders: Sequence[Sender]) -> bool:
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:  # a name: which address it has is known when it is called
        return any(sender.ae_title == ae_title for sender in senders)
    return any(sender.admits(ae_title, address) for sender in senders)
