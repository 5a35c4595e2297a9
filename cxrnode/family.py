"""Family: the kinds of result object, and which of them an image of each outcome can have."""

from enum import StrEnum

from cxrnode.finding import Outcome


class Family(StrEnum):
    """One kind of DICOM object that goes back; the value is its name in the settings and its role in the ledger."""

    REPORT = "report"
    OVERLAY = "overlay"
    PRESENTATION = "presentation"
    SEGMENTATION = "segmentation"
    MAP = "map"
    KEY_OBJECTS = "keyobjects"


MADE_OF: dict[Outcome, tuple[Family, ...]] = {
    Outcome.POSITIVE: tuple(Family),
    Outcome.NEGATIVE: (Family.REPORT, Family.OVERLAY, Family.MAP),
    Outcome.REFUSED: (Family.REPORT,),
    Outcome.FAILED: (Family.REPORT,),
    Outcome.NOT_APPLICABLE: (),
}
"""What there is to make: only a positive has regions to show, and only of an analysed image is there a picture."""
