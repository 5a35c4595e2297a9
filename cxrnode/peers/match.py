"""Match: what a PACS says of a study or a series that it was asked for, read with distrust."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue

COUNT = re.compile(r"\s*\+?[0-9]{1,9}\s*")
UIDENTIFIER = re.compile(r"[0-9.]{1,64}")
DATE = re.compile(r"([0-9]{4})\.?([0-9]{2})\.?([0-9]{2})")
LONGEST_VALUE = 1024
"""Characters of a value that is kept; the longest that any of them may have by the standard is 64."""

STUDY_KEYS = (
    *("StudyInstanceUID", "AccessionNumber", "StudyDate", "StudyTime", "ModalitiesInStudy", "StudyDescription"),
    "NumberOfStudyRelatedInstances",
)
SERIES_KEYS = ("SeriesInstanceUID", "Modality", "BodyPartExamined", "StationName")


@dataclass(frozen=True, slots=True)
class StudyMatch:
    """What is said of a study; what is not told, or makes no sense, is empty or None.

    None, where it differs: the PACS does not know the attribute, while one that is empty the study has not (PS3.4
    C.2.2.1.3).
    """

    study: str
    accession: str
    date: str
    """YYYYMMDD"""
    time: str
    modalities: tuple[str, ...]
    description: str | None
    instances: int | None


@dataclass(frozen=True, slots=True)
class SeriesMatch:
    """What is said of a series of a study."""

    study: str
    modality: str | None
    body_part: str | None
    station: str | None

    def may_be(self, modalities: Collection[str], body_part: str, station: str) -> bool:
        """Whether it is such a series, as far as it is told."""
        return (
            may_fit(self.body_part, body_part)
            and may_fit(self.station, station)
            and not (modalities and self.modality is not None and self.modality not in modalities)
        )


def study_in(match: Dataset | None) -> StudyMatch:
    """What a match at STUDY level says; one that cannot be read says nothing."""
    told = Dataset() if match is None else match
    uid, date = text_in(told, "StudyInstanceUID"), DATE.fullmatch(text_in(told, "StudyDate"))
    return StudyMatch(
        study=uid if UIDENTIFIER.fullmatch(uid) else "",
        accession=text_in(told, "AccessionNumber"),
        date="".join(date.groups()) if date else "",
        time=text_in(told, "StudyTime"),
        modalities=values_in(told, "ModalitiesInStudy"),
        description=told_in(told, "StudyDescription"),
        instances=count_in(told, "NumberOfStudyRelatedInstances"),
    )


def series_in(match: Dataset | None) -> SeriesMatch:
    """What a match at SERIES level says."""
    told = Dataset() if match is None else match
    modality, body_part, station = (told_in(told, one) for one in ("Modality", "BodyPartExamined", "StationName"))
    return SeriesMatch(text_in(told, "StudyInstanceUID"), modality, body_part, station)


def may_fit(told: str | None, wanted: str) -> bool:
    """Whether a value fits what was asked for, with the wildcards * and ? of PS3.4 C.2.2.2.4 and in either case.

    A value that is not told may fit.
    """
    parts = (".*" if one == "*" else "." if one == "?" else re.escape(one) for one in wanted.casefold())
    return told is None or not wanted or re.fullmatch("".join(parts), told.casefold(), re.DOTALL) is not None


def told_in(match: Dataset, keyword: str) -> str | None:
    """A value as text; None where the PACS does not know the attribute."""
    return text_in(match, keyword) if keyword in match else None


def text_in(match: Dataset, keyword: str) -> str:
    """A value as text, several with backslashes between them; empty where it cannot be read."""
    return "\\".join(values_in(match, keyword))


def values_in(match: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of an attribute as text; none where they cannot be read."""
    try:
        value: Any = match.get(keyword)
        several: Iterable[Any] = value if isinstance(value, MultiValue) else () if value is None else (value,)
        texts = [str(one)[:LONGEST_VALUE].encode("utf-8", "replace").decode() for one in several]
    except Exception:  # noqa: BLE001  whatever a stranger's bytes make pydicom raise
        return ()
    return tuple(text.strip(" \0") for text in texts if text.strip(" \0"))


def count_in(match: Dataset, keyword: str) -> int | None:
    """A count; none is no answer, as one who knows nothing of a study cannot say when it is whole."""
    told = text_in(match, keyword)
    return (int(told) or None) if COUNT.fullmatch(told) else None
