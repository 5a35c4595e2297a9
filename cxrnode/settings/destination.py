"""Destination: a PACS that results go to, and which families of them it is sent of an image of each outcome."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import model_validator

from cxrnode.family import MADE_OF, Family
from cxrnode.finding import Outcome
from cxrnode.settings.certificates import Tls
from cxrnode.settings.part import AeTitle, Host, Name, Part, Port, Positive


class Send(Part):
    """Which families of result a destination is sent of an image, by the image's outcome."""

    positive: tuple[Family, ...] = (Family.REPORT, Family.OVERLAY)
    negative: tuple[Family, ...] = (Family.REPORT, Family.OVERLAY)
    refused: tuple[Family, ...] = (Family.REPORT,)
    failed: tuple[Family, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _a_table(cls, given: Any) -> Any:
        if isinstance(given, list | tuple):
            told = 'is a list; wanted a table of outcome and families, as { positive = ["report"] }'
            raise ValueError(told)  # noqa: TRY004  pydantic names the setting for a ValueError alone
        return given

    @model_validator(mode="after")
    def _makeable(self) -> "Send":
        for outcome, families in self.by_outcome.items():
            for family in families:
                if family not in MADE_OF[outcome]:
                    made = ", ".join(MADE_OF[outcome])
                    raise ValueError(f"{outcome}: no {family} is made of such an image; wanted some of: {made}")
        return self

    @property
    def by_outcome(self) -> dict[Outcome, tuple[Family, ...]]:
        """The same by the outcome itself; of an image that is not applicable nothing is made."""
        return {
            Outcome.POSITIVE: self.positive,
            Outcome.NEGATIVE: self.negative,
            Outcome.REFUSED: self.refused,
            Outcome.FAILED: self.failed,
        }

    @property
    def families(self) -> tuple[Family, ...]:
        """Everything that it may be sent."""
        return tuple(family for family in Family if self.wants(family, Outcome))

    def wants(self, family: Family, outcomes: Iterable[Outcome]) -> bool:
        """Whether an object about images of these outcomes is sent: one that asks for it is enough."""
        return any(family in self.by_outcome.get(outcome, ()) for outcome in outcomes)


NOWHERE = {"ae_title": "SENDER", "host": "", "port": 104}
"""where a destination is that stands for the senders: never called itself"""


class Destination(Part):
    """A PACS that results go to, and which of them it is sent.

    With `return_to_sender` it stands for whoever sent the study, and has no AE title, host and port of its own.
    `tls_name` is the name that its certificate must have, where that is not the host.
    """

    name: Name
    ae_title: AeTitle
    host: Host
    port: Port
    return_to_sender: bool = False
    tls: Tls = False
    tls_name: str = ""
    timeout_s: Positive = 30.0
    commitment: Literal["if offered", "required", "off"] = "if offered"
    commitment_timeout_s: Positive = 3600.0
    send: Send = Send()

    @model_validator(mode="before")
    @classmethod
    def _nowhere(cls, given: Any) -> Any:
        if not (isinstance(given, dict) and given.get("return_to_sender") is True):
            return given
        if place := [name for name, value in NOWHERE.items() if given.get(name, value) != value]:
            told = f"return_to_sender goes where the study came from; wanted no {', '.join(place)}"
            raise ValueError(f"{told}: return_port and return_ae_title of the sender say them")
        return given | NOWHERE

    def at(self, there: "Destination") -> "Destination":
        """This, of a study that came from there."""
        place = {key: getattr(there, key) for key in ("ae_title", "host", "port", "tls", "tls_name")}
        return self.model_copy(update=place | {"return_to_sender": False})


def families_wanted(destinations: Sequence[Destination]) -> Mapping[Outcome, frozenset[Family]]:
    """What is made of an image of each outcome: what any destination wants, or all there is where there is none.

    A report is made of every study that has one, whether it is sent or only kept.
    """
    return {
        outcome: frozenset(
            family
            for family in makeable
            if not destinations
            or family is Family.REPORT
            or any(destination.send.wants(family, [outcome]) for destination in destinations)
        )
        for outcome, makeable in MADE_OF.items()
    }
