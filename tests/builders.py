"""Synthetic DICOM instances, no patient's data: circles and noise under made-up names."""

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from cxrnode.conformance.specimens import chest

CR = "1.2.840.10008.5.1.4.1.1.1"
DX_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
DX_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
SC = "1.2.840.10008.5.1.4.1.1.7"
MR = "1.2.840.10008.5.1.4.1.1.4"


def chest_like(rows: int = 256, columns: int = 240, *, bits_stored: int = 12, seed: int = 0) -> NDArray[np.uint16]:
    """(rows, columns) uint16 with a bright body, two dark lungs and noise; air dark, bone bright."""
    return (chest(rows, columns, seed) * (2**bits_stored - 1)).astype(np.uint16)


def make_cxr(pixels: NDArray[Any] | None = None, *, bits_stored: int = 12, **attributes: object) -> FileDataset:
    """A DX image for presentation of a made-up child's frontal chest; attributes override, None removes one."""
    pixels = chest_like(bits_stored=bits_stored) if pixels is None else pixels
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    allocated = pixels.dtype.itemsize * 8
    values: dict[str, object] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["ORIGINAL", "PRIMARY", ""],
        "SOPClassUID": DX_PRESENTATION,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "StudyDate": "20260102",
        "StudyTime": "101500",
        "ContentDate": "20260102",
        "ContentTime": "101501",
        "AcquisitionDate": "20260102",
        "AcquisitionTime": "101501",
        "AccessionNumber": "ACC-77001",
        "Modality": "DX",
        "PresentationIntentType": "FOR PRESENTATION",
        "Manufacturer": "Made Up Imaging",
        "ReferringPhysicianName": "",
        "StudyDescription": "Chest",
        "PatientName": "Zzsynthetic^Patient",
        "PatientID": "ZZ-PID-0001",
        "PatientBirthDate": "20220101",
        "PatientSex": "O",
        "PatientAge": "004Y",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "AP",
        "StudyID": "1",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "PatientOrientation": ["L", "F"],
        "ImageLaterality": "U",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": allocated,
        "BitsStored": min(bits_stored, allocated),
        "HighBit": min(bits_stored, allocated) - 1,
        "PixelRepresentation": 0,
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
        "RescaleIntercept": "0",
        "RescaleSlope": "1",
        "RescaleType": "US",
        "PresentationLUTShape": "IDENTITY",
        "WindowCenter": str(2 ** (bits_stored - 1)),
        "WindowWidth": str(2**bits_stored),
        "ImagerPixelSpacing": ["0.2", "0.2"],
        "PixelData": pixels.tobytes(),
    }
    for keyword, value in (values | attributes).items():
        if value is not None:
            setattr(instance, keyword, value)
    meta.MediaStorageSOPClassUID = instance.get("SOPClassUID", DX_PRESENTATION)
    meta.MediaStorageSOPInstanceUID = instance.get("SOPInstanceUID", generate_uid())
    return instance


def remade(instance: FileDataset, **attributes: object) -> FileDataset:
    """A copy of `instance` with other attribute values; None removes one."""
    made = copy.deepcopy(instance)
    for keyword, value in attributes.items():
        if value is not None:
            setattr(made, keyword, value)
        elif keyword in made:
            delattr(made, keyword)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    return made
