"""A region by one name, UID and colour, so that it is the same region in report, segmentation and on the picture."""

from highdicom.color import CIELabColor

from cxrnode.finding import Reading, Region
from cxrnode.results.context import ResultContext
from cxrnode.uids import Role

COLOUR = (90, 240, 255)
LAB = list(CIELabColor.from_rgb(*COLOUR).value)
"""The same as PS3.3 C.10.7.1.1 has it."""


def region_name(number: int, region: Region) -> str:
    """What a person calls the region, its number from 1: `AI: pneumonia, region 1, left lung`."""
    side = f", {region.side} lung" if region.side else ""
    return f"AI: pneumonia, region {number}{side}"


def region_uid(reading: Reading, number: int, context: ResultContext) -> str:
    """The Tracking UID of one region of an image."""
    return context.identity.uid(Role.TRACKING, f"{reading.sop_instance_uid} region {number}")
