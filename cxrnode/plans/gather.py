"""Files become the studies of a plan: their headers are read, never their pixels, and each file is accounted for once.

A file is an image (of the study that its header names), a fault (a line of the plan with its verdict and the reason),
a container (a DICOMDIR or a .zip, whose files count for themselves), or another thing: counted, and no line of the
plan, because a folder of a hospital's films has as many notes, pictures and programs as it likes. What counts as DICOM
is decided by its bytes; only what is called .dcm, is given by its own path or is named by a DICOMDIR must be DICOM.
"""

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from cxrnode.counted import counted
from cxrnode.errors import Unreadable
from cxrnode.headers.header import fault, named, text
from cxrnode.headers.opening import parsed
from cxrnode.plans.beneath import Found, archive_of, beneath, check, referenced
from cxrnode.plans.filed import place_of, too_large
from cxrnode.plans.plan import Entry, Verdict
from cxrnode.plans.scratch import scratch
from cxrnode.spool import UID_LENGTH, UID_PATTERN

LATER = ("SeriesInstanceUID", "Rows")
"""What stands behind the others, whose values are whole where one of these is there: a parser shortens the last one."""
KEYWORDS = ("SOPClassUID", "SOPInstanceUID", "StudyDate", "AccessionNumber", "StudyInstanceUID", *LATER)
FIRST_BYTES = (2**16, 2**20)
ARCHIVE = (b"PK\3\4", b"PK\5\6")
"""How a .zip begins, and how one of no members does (APPNOTE 4.3.7 and 4.3.16)."""
BARE = re.compile(rb"\x08\x00[\x00\x01\x05\x08\x12-\x18]\x00|\x02\x00\x00\x00UL\x04\x00")
"""How a data set begins that has lost the preamble, or the File Meta Information too."""
TABLES = (
    """CREATE TABLE files (name TEXT PRIMARY KEY, kind TEXT, study INTEGER, instance TEXT, size INTEGER, verdict TEXT,
    reason TEXT) WITHOUT ROWID""",
    "CREATE INDEX files_by_study ON files (study, name) WHERE study IS NOT NULL",
    "CREATE TABLE studies (id INTEGER PRIMARY KEY, uid TEXT UNIQUE, date TEXT, accession TEXT)",
    "CREATE INDEX studies_by_date ON studies (date = '', date, uid)",
)


class Kind(StrEnum):
    """What becomes of a file."""

    IMAGE = "image"
    FAULT = "fault"
    CONTAINER = "container"
    OTHER = "other"


@dataclass(frozen=True)
class Tally:
    """How many files there were so far: each is one of the four kinds, and `repeated` are none of them."""

    images: int = 0
    faults: int = 0
    containers: int = 0
    others: int = 0
    repeated: int = 0
    """those that came a second time, by paths that overlap or by a DICOMDIR"""

    @property
    def files(self) -> int:
        """All of them, each once."""
        return self.images + self.faults + self.containers + self.others

    @property
    def in_words(self) -> str:
        """The sum, for people."""
        return (
            f"{counted(self.files, 'file')}: {self.images} DICOM, {self.faults} that cannot be used, "
            f"{counted(self.containers, 'DICOMDIR or .zip archive')}, {self.others} no DICOM"
        )


def gather(
    paths: Sequence[Path | str], *, folder: Path, largest: int, progress: Callable[[Tally], None] = lambda _: None
) -> Iterator[Entry]:
    """The studies of these files by date, then UID (those without a date last), and then what cannot be used.

    `folder` is where the list of files is kept while this goes on, `largest` the bytes that a file may have
    (receiving.largest_instance_mb), `progress` is told after every file. Memory does not grow with the files, but for
    those of one study. Raises SettingsError where a path is not there, and SpoolFull where the list has no room.
    """
    check(paths)
    return _gathered(paths, folder, largest, progress)


def _gathered(
    paths: Sequence[Path | str], folder: Path, largest: int, progress: Callable[[Tally], None]
) -> Iterator[Entry]:
    with scratch(folder) as connection:
        pile = _Pile(connection, largest)
        waiting = [beneath(paths)]
        while waiting:
            found = next(waiting[-1], None)
            if found is None:
                waiting.pop()
            elif (within := pile.add(found)) is not None:
                waiting.append(within)
            progress(pile.tally)
        yield from pile.entries()


class _Pile:
    """All files so far, by study."""

    def __init__(self, connection: sqlite3.Connection, largest: int) -> None:
        self._connection = connection
        self._largest = largest
        self._kinds: Counter[Kind] = Counter()
        self._repeated = 0
        for table in TABLES:
            connection.execute(table)

    @property
    def tally(self) -> Tally:
        kinds = self._kinds
        return Tally(kinds[Kind.IMAGE], kinds[Kind.FAULT], kinds[Kind.CONTAINER], kinds[Kind.OTHER], self._repeated)

    def add(self, found: Found) -> Iterator[Found] | None:
        """Account for a file; the files that it holds or names, where it is a container."""
        known = self._connection.execute("SELECT kind FROM files WHERE name = ?", (found.name,)).fetchone()
        if known and not (known[0] == Kind.OTHER and found.claimed):
            self._repeated += 1
            return None
        if known:
            self._connection.execute("DELETE FROM files WHERE name = ?", (found.name,))
            self._kinds[Kind.OTHER] -= 1
        try:
            return self._judge(found)
        except Unreadable as error:
            self._keep_fault(found, str(error))
            return None

    def _judge(self, found: Found) -> Iterator[Found] | None:
        first, size = found.first(FIRST_BYTES[0])
        if first[128:132] != b"DICM":
            if first.startswith(ARCHIVE) or found.name.lower().endswith(".zip"):
                return self._open_archive(found)
            if found.claimed or found.name.lower().endswith((".dcm", ".dicom")) or BARE.match(first):
                raise Unreadable(f"{found.name}: it has no DICM at byte 128; wanted a DICOM file (PS3.10 7.1)")
            self._keep(found, Kind.OTHER)
            return None
        if size > self._largest:
            raise too_large(found.name, size, self._largest)
        header = _header(found, first, size, self._largest)
        if _is_directory(header):
            files = referenced(header, *place_of(found.name))
            self._keep(found, Kind.CONTAINER)
            return files
        self._keep_image(found, header, size)
        return None

    def _open_archive(self, found: Found) -> Iterator[Found]:
        if found.member:
            raise Unreadable(f"{found.name}: it is an archive within an archive; wanted it unpacked")
        archive = archive_of(place_of(found.name)[0])
        if archive.encrypted:
            told = f"{archive.encrypted} of its {counted(archive.members, 'file')} are encrypted"
            self._keep_fault(found, f"{found.name}: {told}; wanted a .zip without a password")
        else:
            self._keep(found, Kind.CONTAINER)
        return archive.files

    def _keep_image(self, found: Found, header: Dataset, size: int) -> None:
        """Of what the files of one study tell differently, the least counts: the order of files is not to matter."""
        uids = {keyword: text(header, keyword) for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")}
        for keyword, uid in uids.items():
            if not 0 < len(uid) <= UID_LENGTH or (keyword == "SOPInstanceUID" and not UID_PATTERN.fullmatch(uid)):
                raise Unreadable(f"{found.name}: {fault(keyword, _text(uid) or None, 'a UID (PS3.5 9.1)')}")
        told = (_text(uids["StudyInstanceUID"]), _date(header), _text(text(header, "AccessionNumber")))
        (study,) = self._connection.execute(
            "INSERT INTO studies (uid, date, accession) VALUES (?, ?, ?) ON CONFLICT (uid) DO UPDATE SET"
            " date = coalesce(min(nullif(date, ''), nullif(excluded.date, '')), date || excluded.date),"
            " accession = coalesce(min(nullif(accession, ''), nullif(excluded.accession, '')),"
            " accession || excluded.accession) RETURNING id",
            told,
        ).fetchone()
        self._keep(found, Kind.IMAGE, study=study, instance=uids["SOPInstanceUID"], size=size)

    def _keep_fault(self, found: Found, reason: str) -> None:
        verdict = Verdict.NOT_FOUND if found.missing else Verdict.FAILED
        self._keep(found, Kind.FAULT, reason=_text(reason), verdict=verdict)

    def _keep(self, found: Found, kind: Kind, **told: object) -> None:
        columns = ("study", "instance", "size", "verdict", "reason")
        row = (found.name, kind, *(told.get(column) for column in columns))
        self._connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._kinds[kind] += 1

    def entries(self) -> Iterator[Entry]:
        ask = self._connection.execute
        for key, study, date, accession in ask("SELECT * FROM studies ORDER BY date = '', date, uid"):
            size, instances = ask(
                "SELECT sum(size), count(DISTINCT instance) FROM files WHERE study = ?", (key,)
            ).fetchone()
            files = tuple(name for (name,) in ask("SELECT name FROM files WHERE study = ? ORDER BY name", (key,)))
            yield Entry(study=study, accession=accession, date=date, instances=instances, size=size, files=files)
        for name, verdict, reason in ask("SELECT name, verdict, reason FROM files WHERE kind = 'fault' ORDER BY name"):
            yield Entry(files=(name,), verdict=verdict, reason=reason)


def _header(found: Found, first: bytes, size: int, largest: int) -> Dataset:
    """The attributes that a plan wants, from as few bytes of the file as hold them. Raises Unreadable."""
    for count in FIRST_BYTES:
        if count >= size:
            break
        try:
            header = parsed(first if len(first) == count else found.first(count)[0], pixels=False, keywords=KEYWORDS)
        except Unreadable:  # it ends in the middle of something
            continue
        if "StudyInstanceUID" in header and any(keyword in header for keyword in LATER):
            return header
    content = found.whole(largest)
    try:
        header = parsed(content, pixels=False, keywords=(*KEYWORDS, "DirectoryRecordSequence"))
    except Unreadable as error:
        raise Unreadable(f"{found.name}: {error}") from error
    if not _is_directory(header) and not any(keyword in header for keyword in LATER):
        raise Unreadable(f"{found.name}: it breaks off before {' and '.join(map(named, LATER))}; wanted a whole image")
    return header


def _is_directory(header: Dataset) -> bool:
    return bool(header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage)


def _date(header: Dataset) -> str:
    """The Study Date as eight digits; empty where it is none. Old files have points in it (ACR-NEMA 300)."""
    date = text(header, "StudyDate").replace(".", "")
    return date if re.fullmatch(r"[0-9]{8}", date) else ""


def _text(value: str) -> str:
    """What a header says may be no Unicode text."""
    return value.encode("utf-8", "replace").decode()
