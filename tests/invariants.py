"""The promise, held against the files, the ledger and a real archive at rest: I1 to I4; I5 is for a row's bystander.

I1 every instance answered 0x0000 is on the disk with its receipt, and in the ledger.
I2 every study has ended as delivered, refused, failed or waiting for a named thing; counts sum.
I3 one current result a study and round; no object sent twice once accepted, none changed under one UID.
I4 delivered means committed, and what is committed is there.
I5 a failure of one study never stops another.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import pydicom
from pydicom.filereader import read_file_meta_info
from sqlalchemy import select

from cxrnode.family import Family
from cxrnode.finding import Outcome
from cxrnode.ledger import Ledger
from cxrnode.ledger.account import account, recount
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import TAKEN, Fate, State
from cxrnode.ledger.tables import deliveries, instances, objects
from cxrnode.settings import Settings
from cxrnode.spool import Spool
from tests.orthanc import Orthanc

HEADER_UIDS = ["SOPInstanceUID", "StudyInstanceUID"]


def broken(settings: Settings, acknowledged: Collection[Path], archive: Orthanc, *, again: int = 0) -> list[str]:
    """What of the promise does not hold, a line each; empty when all of it does.

    `acknowledged` are the files answered 0x0000. So many objects as `again` may have come to the archive once more than
    its answers came back: an answer that was lost is no acceptance.
    """
    ledger, spool = Ledger(settings.ledger_url), Spool(settings.node.spool_dir)
    filed = {uid_of(file): digest(file) for file in archive.saved()}
    try:
        return [
            *unkept(settings, acknowledged),
            *(f"I3: {told}" for told in _doubled(ledger, spool, filed)),
            *([f"I3: sent again: {archive.sent_again} objects"] if archive.sent_again > again else []),
            *(f"I4: {told}" for told in _not_committed(ledger, filed)),
        ]
    finally:
        ledger.close()


def unkept(settings: Settings, acknowledged: Collection[Path]) -> list[str]:
    """What of I1 and I2 does not hold, a line each: no archive is looked at."""
    ledger, spool = Ledger(settings.ledger_url), Spool(settings.node.spool_dir)
    with ledger.reading() as db:
        entered = set(db.execute(select(instances.c.key)).scalars())
    try:
        return [
            *(f"I1: {told}" for told in not_on_disk(spool, acknowledged)),
            *(
                f"I1: {one.name} is not in the ledger"
                for one in acknowledged
                if spool.key_for(uid_of(one)) not in entered
            ),
            *(f"I2: {told}" for told in _silent(ledger, spool, acknowledged)),
        ]
    finally:
        ledger.close()


def not_on_disk(spool: Spool, acknowledged: Collection[Path]) -> Iterator[str]:
    """What of I1 does not hold of the disk alone, a line each."""
    for file in acknowledged:
        key = spool.key_for(uid_of(file))
        try:
            kept, receipt = digest(spool.image(key)), spool.receipt(key)
        except FileNotFoundError:
            yield f"{file.name} is not on the disk"
            continue
        if not kept == receipt.sha256 == digest(file):
            yield f"{file.name} is on the disk with other bytes"


def _silent(ledger: Ledger, spool: Spool, acknowledged: Collection[Path]) -> Iterator[str]:
    total, told = recount(ledger, spool).total, round_lines(ledger)
    if account(ledger, spool) != total:
        yield f"the running count says {account(ledger, spool)}, which is {total}"
    headers = [pydicom.dcmread(file, specific_tags=HEADER_UIDS) for file in acknowledged]
    sent, studies = len({one.SOPInstanceUID for one in headers}), len({one.StudyInstanceUID for one in headers})
    if not total.balanced or total.total < sent:
        yield f"{sent} instances were acknowledged, {total.total} are there, balanced: {total.balanced}"
    if len({line.study for line in told}) < studies:
        yield f"{studies} studies were acknowledged, {len({line.study for line in told})} have a round"
    for line in told:
        due = any(Fate.DUE in fates for fates in line.deliveries.values())
        if line.state != State.FINISHED or line.outcome not in set(Outcome) or due:
            named = f"round {line.round_number} of study {line.study[:8]}"
            ended = f"{line.state}, its outcome {line.outcome!r}, its deliveries {line.deliveries}"
            yield f"{named} is {ended}, its last error {line.last_error!r}"


def _doubled(ledger: Ledger, spool: Spool, filed: dict[str, str]) -> Iterator[str]:
    with ledger.reading() as db:
        made = {row.sop_instance_uid: row for row in db.execute(select(objects))}
        taken = set(db.execute(select(deliveries.c.sop_instance_uid).where(deliveries.c.fate.in_(TAKEN))).scalars())
    for uid in filed.keys() - taken:
        yield f"the archive holds {uid}, which the ledger does not say was taken"
    for uid in filed.keys() & made.keys():
        if filed[uid] != digest(spool.result(made[uid].round_key, made[uid].file)):
            yield f"the archive holds other bytes than were kept under {uid}"
    reports = Counter(row.round_key for row in made.values() if row.role == Family.REPORT)
    yield from (f"{count} reports of round {key[:8]}" for key, count in reports.items() if count > 1)


def _not_committed(ledger: Ledger, filed: dict[str, str]) -> Iterator[str]:
    with ledger.reading() as db:
        fates = {row.sop_instance_uid: row.fate for row in db.execute(select(deliveries))}
    for uid, fate in fates.items():
        if fate in {Fate.ACCEPTED, Fate.NOT_COMMITTED}:
            yield f"{uid} is {fate} by an archive that offers commitment"
        if fate == Fate.COMMITTED and uid not in filed:
            yield f"{uid} is said to be committed, and the archive does not hold it"


def uid_of(file: Path) -> str:
    """A file's SOP Instance UID."""
    return str(pydicom.dcmread(file, specific_tags=HEADER_UIDS).SOPInstanceUID)


def digest(file: Path) -> str:
    """SHA-256 of a PS3.10 file's data set as it lies there, without preamble and file meta information (PS3.10 7.1)."""
    head = read_file_meta_info(file)
    return hashlib.sha256(file.read_bytes()[132 + 12 + head.FileMetaInformationGroupLength :]).hexdigest()
