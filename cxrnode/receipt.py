"""Receipt: what is known of an acknowledged instance without opening it again; it lies beside the bytes."""

from dataclasses import dataclass

MOVED = "C-MOVE"
"""an archive sent it because this node had asked it to"""


@dataclass(frozen=True)
class Receipt:
    """What is known of an acknowledged instance without opening it again; `received_at` is UTC, ISO 8601."""

    key: str
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    sha256: str
    size: int
    calling_ae: str
    called_ae: str
    address: str
    association: str
    received_at: str
    aside_of: str = ""
    """the key of the instance that already had this SOP Instance UID with other content, when this one is kept aside"""
    corrected: str = ""
    """the patient and study attributes in which it differs from that one, by keyword, where it differs in no others"""
    fetched: str = ""
    """by whom, where it did not come by itself: a replay's key, or MOVED, for whichever replay had asked for it"""
    stat: bool = False
    """whether it says itself that it is STAT, or its sender is"""
