"""The standard's codes that results are written in: a probability becomes a coded finding with these."""

from pydicom import Dataset
from pydicom.sr.coding import Code

from cxrnode.finding import MapMethod, Outcome, Side
from cxrnode.headers.header import text

PNEUMONIA = Code("233604007", "SCT", "Pneumonia")
LUNG = Code("39607008", "SCT", "Lung")
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")
NOT_ATTEMPTED = Code("111225", "DCM", "Not Attempted")
FAILED = Code("111224", "DCM", "Failed")
PROBABILITY = Code("122157", "DCM", "Probability")
GRADIENT_WEIGHTED_CLASS_ACTIVATION = Code("130403", "DCM", "Gradient-weighted class activation")
SALIENCY = Code("130404", "DCM", "Saliency")
OUTLINE = Code("111041", "DCM", "Outline")
MAXIMUM = Code("56851009", "SCT", "Maximum")
TOTAL = Code("255619001", "SCT", "Total")
RATIO = Code("{ratio}", "UCUM", "ratio")
NO_UNITS = Code("1", "UCUM", "no units")
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
FINDING = Code("121071", "DCM", "Finding")
DERIVATION = Code("121401", "DCM", "Derivation")
LATERALITY = Code("272741003", "SCT", "Laterality")
SOURCE_OF_MEASUREMENT = Code("121112", "DCM", "Source of Measurement")
SOURCE = Code("260753009", "SCT", "Source")
IMAGE_REGION = Code("111030", "DCM", "Image Region")
GEOMETRIC_PURPOSE = Code("130400", "DCM", "Geometric purpose of region")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
ENGLISH = Code("en-US", "RFC5646", "English (United States)")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
DEVICE_UID = Code("121012", "DCM", "Device Observer UID")
DEVICE_NAME = Code("121013", "DCM", "Device Observer Name")
DEVICE_MANUFACTURER = Code("121014", "DCM", "Device Observer Manufacturer")
DEVICE_MODEL = Code("121015", "DCM", "Device Observer Model Name")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_FAMILY = Code("111000", "DCM", "Algorithm Family")
TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UID = Code("112040", "DCM", "Tracking Unique Identifier")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")
ALGORITHM_PARAMETERS = Code("111002", "DCM", "Algorithm Parameters")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
DEVICE = Code("121007", "DCM", "Device")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
COMMENT = Code("121106", "DCM", "Comment")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
OF_INTEREST = Code("113000", "DCM", "Of Interest")
REJECTED_FOR_QUALITY = Code("113001", "DCM", "Rejected for Quality Reasons")
DOCUMENT_TITLE_MODIFIER = Code("113011", "DCM", "Document Title Modifier")
KEY_OBJECT_DESCRIPTION = Code("113012", "DCM", "Key Object Description")
SOFTWARE_FAILURE = Code("111218", "DCM", "Software failure")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
SPATIAL_RESAMPLING = Code("113085", "DCM", "Spatial resampling")
SEGMENTATION = Code("113076", "DCM", "Segmentation")
MORPHOLOGICALLY_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")

EVALUATIONS = {
    Outcome.POSITIVE: PRESENT,
    Outcome.NEGATIVE: ABSENT,
    Outcome.REFUSED: NOT_ATTEMPTED,
    Outcome.FAILED: FAILED,
}
"""What a report says of pneumonia for each outcome; a not applicable image is not asked the question."""

MAPS = {
    MapMethod.GRAD_CAM: GRADIENT_WEIGHTED_CLASS_ACTIVATION,
    MapMethod.ATTENTION_ROLLOUT: SALIENCY,
}
"""What a map's peak is a measurement of (CID 217). Attention is of no class, so that its map is no class activation."""

SIDES = {Side.LEFT: Code("7771000", "SCT", "Left"), Side.RIGHT: Code("24028007", "SCT", "Right")}
"""Which lung (CID 244)."""


CODE = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
"""The attributes of an item of a code sequence (PS3.3 Table 8.8-1a)."""


def coded(code: Code) -> Dataset:
    """A code as an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def code_of(item: Dataset) -> Code:
    """The code that such an item holds."""
    return Code(*(text(item, keyword) for keyword in CODE))
