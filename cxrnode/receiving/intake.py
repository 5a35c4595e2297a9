"""An instance into the spool, once, however it came: with its receipt, beside what is there under its UID."""

import hashlib
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pydicom import Dataset

from cxrnode.draft import Draft
from cxrnode.errors import Unreadable
from cxrnode.headers.opening import data_set_at, parsed
from cxrnode.log import logger
from cxrnode.receipt import Receipt
from cxrnode.receiving.correction import CORRECTABLE, differing, identification
from cxrnode.spool import Spool

LOG = logger("intake")
IDENTITY = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"]
NAME = re.compile(r"[!-\[\]-~]{1,64}")
"""One UID, or what some devices take for one: of its length, and text that results can repeat (PS3.5 9.1)."""


def receipt_of(spool: Spool, content: bytes, calling_ae: str, replay: str, now: datetime) -> Receipt:
    """The receipt of an instance that a replay has fetched, from its PS3.10 bytes. Raises Unreadable."""
    identity = parsed(content, pixels=False, keywords=IDENTITY)
    require_names(identity)
    transfer_syntax, at = data_set_at(content)
    return Receipt(
        key=spool.key_for(identity.SOPInstanceUID),
        sop_instance_uid=identity.SOPInstanceUID,
        sop_class_uid=identity.SOPClassUID,
        study_instance_uid=identity.StudyInstanceUID,
        transfer_syntax_uid=transfer_syntax,
        sha256=hashlib.sha256(content[at:]).hexdigest(),
        size=len(content) - at,
        calling_ae=calling_ae,
        called_ae="",
        address="",
        association="",
        received_at=now.isoformat(),
        fetched=replay,
    )


def require_names(identity: Dataset) -> None:
    """Raise Unreadable for a data set that does not say which instance it is, of which class and study."""
    for keyword in IDENTITY:
        if not identity.get(keyword):
            raise Unreadable(f"{keyword} is absent; wanted a UID")
        if not NAME.fullmatch(str(identity[keyword].value)):
            raise Unreadable(f"{keyword} is no UID; wanted one of 64 characters at most")


def keep(spool: Spool, content: bytes | Draft, receipt: Receipt) -> Receipt:
    """Store an instance once; other content under its UID is kept aside, as a correction where it is one.

    Of an image whose bytes were purged a copy that a replay has fetched takes the place, whatever its content: an
    archive may have changed attributes meanwhile. The receipt is that of the copy that is kept, but says how this one
    came. Raises SpoolFull, OSError.
    """
    if spool.store(content, receipt):
        LOG.info("stored", key=receipt.key, size=receipt.size, calling_ae=receipt.calling_ae)
        return receipt
    first = spool.receipt(receipt.key)
    same = first.sha256 == receipt.sha256
    if receipt.fetched and not spool.image(receipt.key).exists() and _of_one_study(first, receipt):
        restored = first if same else receipt
        spool.restore(content, restored)
        LOG.info("purged bytes came again", key=receipt.key, same=same)
        return _again(restored, receipt)
    source = content.path if isinstance(content, Draft) else content
    changed = set() if same else _changed(spool.image(receipt.key), source)
    if not changed:
        LOG.info("duplicate acknowledged", key=receipt.key, calling_ae=receipt.calling_ae)
        return _again(first, receipt)
    corrects = changed <= CORRECTABLE
    key = spool.aside_key(receipt.key, identification(source) if corrects else receipt.sha256)
    attributes = ", ".join(sorted(changed)) if corrects else ""
    aside = replace(receipt, key=key, aside_of=receipt.key, corrected=attributes)
    if not spool.store(content, aside):
        return spool.receipt(key)
    if corrects:
        LOG.info("correction kept", key=key, first=receipt.key, attributes=attributes)
    else:
        LOG.warning("other content under a known UID kept aside", key=key, first=receipt.key)
    return aside


def _of_one_study(first: Receipt, receipt: Receipt) -> bool:
    return first.study_instance_uid == receipt.study_instance_uid


def _again(known: Receipt, receipt: Receipt) -> Receipt:
    came = ("calling_ae", "called_ae", "address", "association", "received_at", "fetched", "stat")
    return replace(known, **{name: getattr(receipt, name) for name in came})


def _changed(first: Path, content: Path | bytes) -> set[str]:
    """The keywords in which `content` differs from the copy that came first; of one that was purged nobody can tell."""
    try:
        return differing(first.read_bytes(), content)
    except FileNotFoundError:
        return {"PixelData"}
