"""A DIMSE response of ours: a status, and why in a few words."""

from pydicom import Dataset

COMMENT_LENGTH = 64
"""characters of Error Comment (0000,0902), an LO (PS3.7 Annex C)"""


def answer(status: int, comment: str = "") -> Dataset:
    """The response with this status, and this comment where there is one."""
    response = Dataset()
    response.Status = int(status)
    if comment:
        response.ErrorComment = comment[:COMMENT_LENGTH]
    return response
