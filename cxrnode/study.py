"""Study and Instance: what arrived, in the standard's words."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instance:
    """One SOP Instance as it lies on the disk; `sha256` is that of the data set's bytes as received."""

    key: str
    path: Path
    sop_instance_uid: str
    sha256: str
    calling_ae: str = ""
    """the AE title that sent it; empty where nobody did (files)"""
    corrected: bool = False
    """whether this is a later copy, in which patient and study attributes were put right"""


@dataclass(frozen=True)
class Predecessor:
    """The report that this round's report supersedes (PS3.3 C.17.2, Predecessor Documents Sequence)."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Study:
    """The instances of one study that one round covers, as received; `round_number` counts from 1."""

    key: str
    study_instance_uid: str
    round_number: int
    instances: tuple[Instance, ...]
    predecessor: Predecessor | None = None
    warnings: tuple[str, ...] = ()
    """what is to be said of every image of it"""
