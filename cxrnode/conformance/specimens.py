"""A made-up film, and one object of every family that a node makes of it for every outcome; nobody's data."""

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from cxrnode.analyse import make_objects, reading_of
from cxrnode.decoding.image import Image
from cxrnode.finding import Algorithm, Finding, Heatmap, Outcome, Reading
from cxrnode.radiograph import Radiograph
from cxrnode.results.codes import coded
from cxrnode.results.encode import encode
from cxrnode.results.keyobjects import build_rejection
from cxrnode.settings import Settings
from cxrnode.study import Instance, Predecessor, Study
from cxrnode.uids import uid_from

WITHDRAWAL = "withdrawal"
NOW = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
SUPERSEDED = Predecessor("1.2.3", "1.2.3.4", Comprehensive3DSRStorage, "1.2.3.4.5")
REASONS = {
    Outcome.REFUSED: "PatientID (0010,0020) is absent; wanted the identity that the result is filed under",
    Outcome.FAILED: "PixelData (7FE0,0010) breaks off half-way; wanted all rows",
}
REJECTION = "Made up; no model has read this film."

HEADER: Mapping[str, object] = MappingProxyType({
    "SOPClassUID": DigitalXRayImageStorageForPresentation,
    "SpecificCharacterSet": "ISO_IR 192",
    "ImageType": ["ORIGINAL", "PRIMARY"],
    "TimezoneOffsetFromUTC": "+0100",
    "StudyDate": "20200102", "StudyTime": "030405",
    "AccessionNumber": "SPECIMEN-A1",
    "Modality": "DX", "PresentationIntentType": "FOR PRESENTATION", "Manufacturer": "Made Up Imaging",
    "ReferringPhysicianName": "Zzmadeup^Referrer", "StudyDescription": "Chest", "PhysiciansOfRecord": "Zzmadeup^Record",
    "IssuerOfPatientID": "MADEUP", "TypeOfPatientID": "TEXT",
    "PatientBirthDate": "20160101", "PatientBirthTime": "0101", "PatientSex": "O", "PatientAge": "004Y",
    "PatientSize": "1.02", "PatientWeight": "16.5", "OtherPatientNames": "Zzmadeup^Other", "EthnicGroup": "MADE UP",
    "PatientIdentityRemoved": "YES", "DeidentificationMethod": "drawn by a program", "AdmissionID": "SPECIMEN-B1",
    "BodyPartExamined": "CHEST", "ViewPosition": "AP", "StudyID": "1", "SeriesNumber": 1, "InstanceNumber": 1,
    "PatientOrientation": ["L", "F"], "ImageLaterality": "U", "BurnedInAnnotation": "NO", "LossyImageCompression": "01",
    "LossyImageCompressionRatio": "10", "LossyImageCompressionMethod": "ISO_10918_1",
    "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "PixelRepresentation": 0,
    "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "WindowCenter": "2048", "WindowWidth": "4096",
    "PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": -1, "PresentationLUTShape": "IDENTITY",
    "RescaleIntercept": "0", "RescaleSlope": "1", "RescaleType": "US", "ImagerPixelSpacing": ["0.2", "0.2"],
})  # fmt: skip
"""With a value for everything that a result may take over."""


@dataclass(frozen=True, eq=False)
class Case:
    """What a specimen's results depend on; each part is varied by itself to see what comes of it."""

    film: Dataset
    algorithm: Algorithm
    settings: Settings
    values: NDArray[np.float32]
    """the heat map, (h, w) in [0, 1]"""
    probability: float = 0.93
    peak: float = 3.25
    lung_share: float = 0.81
    now: datetime = NOW
    predecessor: Predecessor | None = SUPERSEDED


@dataclass(frozen=True, eq=False)
class Specimen:
    """One result object as it is sent: read back from its bytes."""

    kind: str
    """the family, or WITHDRAWAL for a rejection note"""
    outcome: Outcome
    dataset: Dataset
    content: bytes


def specimens(case: Case) -> list[Specimen]:
    """Every object that a node with the case's settings makes of its film, outcome by outcome."""
    return [specimen for outcome in Outcome for specimen in of_outcome(case, outcome)]


def of_outcome(case: Case, outcome: Outcome) -> list[Specimen]:
    """The objects that are made of the case's film when this is its outcome, and the note that rejects them."""
    results = list(_results(case, outcome))
    return [*results, _withdrawal(case, outcome, [one.dataset for one in results])] if results else []


def film(name: str = "film", rows: int = 96, columns: int = 88, **attributes: object) -> Dataset:
    """A DX image for presentation: a body with two lungs and noise, (rows, columns), 12 bits, and HEADER.

    Another `name` makes it another patient's film.
    """
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    uids = {f"{one}InstanceUID": uid_from(["specimen", one, name]) for one in ("Study", "Series", "SOP")}
    patient = {"PatientName": f"Zzmadeup^{name.title()}", "PatientID": f"SPECIMEN-{name.upper()}"}
    for keyword, value in {**HEADER, **uids, **patient, **attributes}.items():
        setattr(made, keyword, value)
    for keyword, code in {
        "ProcedureCodeSequence": Code("399208008", "SCT", "Plain X-ray of chest"),
        "DeidentificationMethodCodeSequence": Code("113100", "DCM", "Basic Application Confidentiality Profile"),
    }.items():
        setattr(made, keyword, [coded(code)])
    issuer, qualifier = Dataset(), Dataset()
    issuer.LocalNamespaceEntityID = "MADEUP"
    qualifier.UniversalEntityID, qualifier.UniversalEntityIDType = "1.2.3", "ISO"
    made.IssuerOfAccessionNumberSequence, made.IssuerOfPatientIDQualifiersSequence = [issuer], [qualifier]
    made.Rows, made.Columns = rows, columns
    made.PixelData = (chest(rows, columns) * 4095).astype(np.uint16).tobytes()
    return made


def chest(rows: int, columns: int, seed: int = 0) -> NDArray[np.float64]:
    """(rows, columns) in [0, 1] with a bright body, two dark lungs and noise; air dark, bone bright."""
    y, x = np.mgrid[0:rows, 0:columns] / np.array([rows, columns])[:, None, None]
    body = np.exp(-(((x - 0.5) / 0.4) ** 4))
    lungs = sum(np.exp(-((((x - middle) / 0.13) ** 2 + ((y - 0.45) / 0.28) ** 2) ** 2)) for middle in (0.3, 0.7))
    noise = np.random.default_rng(seed).normal(0, 0.01, (rows, columns))
    return np.asarray(np.clip(0.8 * body - 0.5 * lungs + 0.1 + noise, 0, 1))


def bumps(*middles: tuple[float, float], side: int = 14) -> NDArray[np.float32]:
    """A heat map, (side, side), with a bump around each middle (row, column as fractions), the first the strongest."""
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side
    heights = [np.exp(-((y - row) ** 2 + (x - column) ** 2) / 0.012) for row, column in middles]
    values = np.max([height * (1 - 0.2 * number) for number, height in enumerate(heights)], axis=0)
    return np.asarray(values / values.max(), dtype=np.float32)


def _results(case: Case, outcome: Outcome) -> Iterator[Specimen]:
    source = copy.deepcopy(case.film)
    uid = str(source.SOPInstanceUID)
    instance = Instance("specimen", Path("specimen.dcm"), uid, hashlib.sha256(source.PixelData).hexdigest())
    study = Study("specimen", str(source.StudyInstanceUID), 1, (instance,), case.predecessor)
    image = Image(instance, source)
    if outcome.analysed:
        image.radiograph = Radiograph.of(chest(source.Rows, source.Columns).astype(np.float32))
        probability = case.probability if outcome is Outcome.POSITIVE else 1 - case.probability
        heatmap = Heatmap(case.values, case.peak, case.algorithm.explanation)
        finding = Finding(1.5, probability, heatmap, lung_share=case.lung_share)
        image.reading = reading_of(image, finding, case.algorithm, draw_astray=False)
    else:
        image.reading = Reading(uid, outcome, REASONS.get(outcome, "not a chest"))
    for made in make_objects(study, [image], case.algorithm, case.settings, case.now):
        yield Specimen(made.family.value, outcome, pydicom.dcmread(BytesIO(made.content)), made.content)


def _withdrawal(case: Case, outcome: Outcome, results: Sequence[Dataset]) -> Specimen:
    uids = [str(result.SOPInstanceUID) for result in results]
    uid, series_uid = uid_from(["rejection", *uids]), uid_from(["rejection series", *uids])
    note = build_rejection(results[0], results, REJECTION, uid=uid, series_uid=series_uid, now=case.now)
    content = encode(note)
    return Specimen(WITHDRAWAL, outcome, pydicom.dcmread(BytesIO(content)), content)
