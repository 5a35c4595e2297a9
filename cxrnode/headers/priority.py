"""Which image says itself that it is STAT: Requested Procedure Priority (0040,1003), PS3.3 C.4.11."""

from pydicom import Dataset

from cxrnode.headers.header import items, text

PRIORITY = ("RequestedProcedurePriority", "RequestAttributesSequence")
"""where it is: an image has it from the worklist, at its top level or with the attributes of its request"""


def says_stat(dataset: Dataset) -> bool:
    """Whether the priority is STAT, the one of the defined terms (STAT, HIGH, ROUTINE, MEDIUM, LOW) that goes first."""
    asked = (dataset, *items(dataset, "RequestAttributesSequence"))
    return any(text(one, "RequestedProcedurePriority").upper() == "STAT" for one in asked)
