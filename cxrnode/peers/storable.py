"""What is proposed for C-MOVE and C-GET: of what may come, each transfer syntax in a context of its own."""

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import sop_class

from cxrnode.peers.calling import UNCOMPRESSED, VERIFICATION_CONTEXT

MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
COMPRESSED = (
    *(JPEG2000Lossless, JPEG2000, JPEGLosslessSV1, JPEGLossless, JPEGLSLossless, JPEGLSNearLossless),
    *(RLELossless, JPEGBaseline8Bit, JPEGExtended12Bit, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K),
    DeflatedExplicitVRLittleEndian,
)
RADIOGRAPHS = (
    *("ComputedRadiographyImageStorage", "DigitalXRayImageStorageForPresentation"),
    *("DigitalXRayImageStorageForProcessing", "SecondaryCaptureImageStorage"),
)
OTHERS = (  # what else lies in such studies, so that it does not count as not sent
    *("BasicTextSRStorage", "EnhancedSRStorage", "ComprehensiveSRStorage", "Comprehensive3DSRStorage"),
    *("XRayRadiationDoseSRStorage", "KeyObjectSelectionDocumentStorage", "EncapsulatedPDFStorage"),
    *("GrayscaleSoftcopyPresentationStateStorage", "ColorSoftcopyPresentationStateStorage", "SegmentationStorage"),
    *("MultiFrameGrayscaleByteSecondaryCaptureImageStorage", "MultiFrameGrayscaleWordSecondaryCaptureImageStorage"),
    *("MultiFrameTrueColorSecondaryCaptureImageStorage", "ChestCADSRStorage", "ParametricMapStorage"),
    *("CTImageStorage", "EnhancedCTImageStorage", "MRImageStorage", "UltrasoundImageStorage"),
    *("UltrasoundMultiFrameImageStorage", "XRayAngiographicImageStorage", "XRayRadiofluoroscopicImageStorage"),
    *("NuclearMedicineImageStorage", "PositronEmissionTomographyImageStorage"),
    *("DigitalMammographyXRayImageStorageForPresentation", "DigitalMammographyXRayImageStorageForProcessing"),
    *("BreastTomosynthesisImageStorage", "EnhancedMRImageStorage", "TwelveLeadECGWaveformStorage"),
    "EncapsulatedCDAStorage",
)


def _uid(name: str) -> str:
    return str(getattr(sop_class, name))


STORED = frozenset(_uid(name) for name in (*RADIOGRAPHS, *OTHERS))
"""The SOP classes that C-GET may bring, of the 128 contexts that an association has room for (PS3.8 9.3.2.2)."""
MOVE_CONTEXTS = {(MOVE, syntax) for syntax in UNCOMPRESSED} | {VERIFICATION_CONTEXT}
GET_CONTEXTS = (
    {(GET, syntax) for syntax in UNCOMPRESSED}
    | {(uid, syntax) for uid in STORED for syntax in UNCOMPRESSED}
    | {(_uid(name), str(syntax)) for name in RADIOGRAPHS for syntax in COMPRESSED}
    | {VERIFICATION_CONTEXT}
)
