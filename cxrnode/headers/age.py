"""How old the patient was, as the header says or lets one work out, against the ages that the model was trained on."""

import re
from dataclasses import dataclass
from datetime import date

from pydicom import Dataset

from cxrnode.finding import Algorithm
from cxrnode.headers.header import fault, text

DAYS_A_UNIT = {"D": 1.0, "W": 7.0, "M": 365.2425 / 12, "Y": 365.2425}
UNITS = {"D": "day", "W": "week", "M": "month", "Y": "year"}
OLDEST_YEARS = 130
"""No patient is older: what is, is a placeholder of some anonymiser."""


@dataclass(frozen=True)
class Age:
    """An age in whole years, and in the words of a sentence: `3 months`."""

    years: int
    words: str


def patient_age(dataset: Dataset) -> Age | None:
    """The age by Patient's Age (AS, PS3.5 6.2), else from the birth date to the study; None when neither tells."""
    stated = re.fullmatch(r"(\d{1,3})([DWMY])", text(dataset, "PatientAge").upper())
    if stated:
        return _age(int(stated[1]), stated[2])
    born = _day(text(dataset, "PatientBirthDate"))
    seen = _day(text(dataset, "StudyDate")) or _day(text(dataset, "AcquisitionDate"))
    if born is None or seen is None or seen < born:
        return None
    years = seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))
    return _age(years, "Y") if years else _age((seen - born).days, "D")


def age_remark(dataset: Dataset, algorithm: Algorithm) -> str:
    """The sentence that warns of an age outside the model's population or not known; empty when all is well."""
    youngest, oldest = algorithm.age_years
    trained = f"the model was trained on {'children' if oldest < 18 else 'patients'} of {youngest} to {oldest} years"
    age = patient_age(dataset)
    if age is None:
        stated = text(dataset, "PatientAge")
        odd = f" ({fault('PatientAge', stated, 'a number and D, W, M or Y')})" if stated else ""
        return f"Patient's age is not given{odd}; {trained}"
    return "" if youngest <= age.years <= oldest else f"Patient is {age.words} old; {trained}"


def _age(number: int, unit: str) -> Age | None:
    years = number if unit == "Y" else int(number * DAYS_A_UNIT[unit] / DAYS_A_UNIT["Y"] + 1e-9)
    return Age(years, f"{number} {UNITS[unit]}{'' if number == 1 else 's'}") if years <= OLDEST_YEARS else None


def _day(written: str) -> date | None:
    """A DA value, or one of ACR-NEMA's with dots (PS3.5 6.2)."""
    digits = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})", written)
    try:
        return date(int(digits[1]), int(digits[2]), int(digits[3])) if digits else None
    except ValueError:
        return None
