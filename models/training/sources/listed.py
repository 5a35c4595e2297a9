"""What is known of a film before its pixels are looked at, and what its file tells once it is opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models.training.kept import Pixels


@dataclass(frozen=True)
class Listed:
    """One film on a list; `patient` and `split` are empty where the list does not tell."""

    file: str
    """as people are told of it: relative to the data folder, or to the folder of DICOM files"""
    path: Path
    label: int
    patient: str = ""
    split: str = ""
    subtype: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Listing:
    """All films of a source; `missing` has a line for each that is on the list and not in the folder."""

    films: tuple[Listed, ...]
    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class Opened(Protocol):
    """A film's file."""

    @property
    def sha256(self) -> str:
        """Of the whole file."""

    @property
    def patient(self) -> tuple[str, str]:
        """One-way digests of the patient's identifier and of its issuer; empty where the file tells neither."""

    @property
    def not_frontal(self) -> str:
        """The sentence that says why this is no frontal chest radiograph; empty when nothing says so."""

    def pixels(self) -> Pixels:
        """Decoded anew; raises Unreadable or Refused."""


class DicomFiles(Protocol):
    """How DICOM files are read; whoever calls the training passes it in, for `models` knows no DICOM."""

    def uid_of(self, path: Path) -> str:
        """The SOP Instance UID; empty when there is none, or the file is no DICOM file."""

    def open(self, path: Path) -> Opened:
        """The file with its header read; raises Unreadable."""
