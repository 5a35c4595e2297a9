"""Criteria: which studies of a PACS are looked for."""

import re
from dataclasses import dataclass
from datetime import date

from cxrnode.errors import SettingsError

CODE, LONG_STRING = re.compile(r"[A-Z0-9 _]{1,16}"), re.compile(r"[^\\\x00-\x1f\x7f]{1,64}")


@dataclass(frozen=True)
class Criteria:
    """Which studies: by a range of Study Dates, both days included, and whatever else is given. Raises SettingsError.

    `description`, `body_part` and `station` may have the wildcards * and ?; case does not matter.
    """

    first: date | None = None
    last: date | None = None
    modalities: tuple[str, ...] = ()
    description: str = ""
    body_part: str = ""
    station: str = ""

    def __post_init__(self) -> None:
        if (self.first is None) != (self.last is None):
            raise SettingsError(
                f"dates from {self.first} to {self.last}; wanted the first and the last day, or neither"
            )
        if self.first and self.last and self.first > self.last:
            raise SettingsError(f"dates from {self.first} to {self.last}; wanted the first day not after the last")
        for modality in self.modalities:
            if not CODE.fullmatch(modality):
                raise SettingsError(f"modality {modality!r}; wanted a code such as DX, CR or SC")
        for name in ("description", "body_part", "station"):
            value = getattr(self, name)
            if value and not LONG_STRING.fullmatch(value):
                raise SettingsError(f"{name} {value!r}; wanted at most 64 characters, without a backslash")

    @property
    def of_series(self) -> bool:
        """Whether it is about what only a study's series tell."""
        return bool(self.body_part or self.station)
