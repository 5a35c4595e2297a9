"""What the tables of the settings are made of: a frozen table with no key but the known ones, and bounded values."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _looked_up(host: str) -> str:
    """The same, where it can be looked up: to ask for what cannot is no fault of the network, and nobody expects it."""
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ValueError("is no host's name; wanted pacs.hospital.example or 10.1.2.3") from error
    return host


Host = Annotated[str, AfterValidator(_looked_up)]

AeTitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Positive = Annotated[float, Field(gt=0)]
Prevalence = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


class Part(BaseModel):
    """A table of the settings file: frozen, and no key but the known ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")
