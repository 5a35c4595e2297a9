"""DICOM films as training reads them: decoded as in service, known by digests under a key of this run."""

import hashlib
import secrets
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset

from cxrnode.decoding.pixels import read_radiograph
from cxrnode.errors import Unreadable
from cxrnode.headers.anatomy import not_of_chest, view_of
from cxrnode.headers.header import UNPARSABLE, fault, text, unwarned
from cxrnode.settings import Rules


@dataclass(frozen=True, eq=False)
class DicomFilm:
    """One DICOM file with its header read."""

    dataset: Dataset
    sha256: str
    patient: tuple[str, str]
    """digests of Patient ID and of its issuer, empty where there is none; another run's are others"""
    not_frontal: str
    """the sentence that says why this is no frontal chest radiograph; empty when nothing in the header says so"""

    def pixels(self) -> NDArray[np.float32]:
        """(rows, columns) float32 in [0, 1], air dark and bone bright, as in service; raises Unreadable or Refused."""
        return read_radiograph(self.dataset)


class DicomFiles:
    """Opens DICOM files; nothing that it hands out, errors included, names a patient."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._rules = Rules()

    def uid_of(self, path: Path) -> str:
        """The SOP Instance UID; empty when there is none, or the file cannot be parsed as DICOM."""
        with unwarned():
            try:
                return text(pydicom.dcmread(path, stop_before_pixels=True), "SOPInstanceUID")
            except UNPARSABLE:
                return ""

    def open(self, path: Path) -> DicomFilm:
        """The file with its header read; raises Unreadable."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Unreadable(f"the file cannot be read ({error.strerror})") from error
        with unwarned():
            try:
                dataset = pydicom.dcmread(BytesIO(content))
            except UNPARSABLE as error:
                raise Unreadable(f"cannot be parsed as DICOM ({type(error).__name__}); wanted a PS3.10 file") from error
        return DicomFilm(
            dataset,
            hashlib.sha256(content).hexdigest(),
            (self._digest(text(dataset, "PatientID")), self._digest(text(dataset, "IssuerOfPatientID"))),
            self._not_frontal(dataset),
        )

    def _digest(self, identifier: str) -> str:
        return identifier and hashlib.blake2b(identifier.encode(), key=self._key, digest_size=16).hexdigest()

    def _not_frontal(self, dataset: Dataset) -> str:
        modality = text(dataset, "Modality")
        if modality not in self._rules.modalities:
            return fault("Modality", modality or None, " or ".join(self._rules.modalities))
        view = view_of(dataset, self._rules)
        if view.term and view.term not in self._rules.views:
            return fault(view.keyword, view.term, " or ".join(self._rules.views))
        return not_of_chest(dataset, self._rules)
