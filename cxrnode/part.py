"""What the tables of the settings are made of: a frozen table with no key but the known ones, and bounded values."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

AeTitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Positive = Annotated[float, Field(gt=0)]
Prevalence = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


class Part(BaseModel):
    """A table of the settings file: frozen, and no key but the known ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")
