"""Whom a study is of, as the header of one of its files tells: read when a message is written, kept nowhere else."""

from collections.abc import Iterable
from pathlib import Path

from cxrnode.audit.events import About
from cxrnode.errors import Unreadable
from cxrnode.headers.header import text
from cxrnode.headers.opening import parsed

KEYWORDS = ["SpecificCharacterSet", "StudyInstanceUID", "PatientID", "PatientName"]


def about(files: Iterable[Path], study_instance_uid: str = "", key: str = "") -> About:
    """What the first of these files tells that is there and can be read; else the study's UID alone."""
    for file in files:
        try:
            header = parsed(file, pixels=False, keywords=KEYWORDS)
        except (Unreadable, OSError):
            continue
        uid = study_instance_uid or text(header, "StudyInstanceUID")
        return About(uid, text(header, "PatientID"), text(header, "PatientName"), key)
    return About(study_instance_uid, key=key)
