"""What a PACS is asked, as the audit trail has it: the identifier itself, or what stands behind a web address."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlencode

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ImplicitVRLittleEndian

from cxrnode.audit.events import Question
from cxrnode.audit.recorder import Recorder
from cxrnode.headers.header import unwarned
from cxrnode.settings.archive import Archive
from cxrnode.settings.destination import Destination

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model - FIND."""


def identifier(question: Dataset) -> Question:
    """The identifier of a C-FIND, in Implicit VR Little Endian."""
    stream = DicomBytesIO()
    stream.is_implicit_VR = stream.is_little_endian = True
    with unwarned():
        write_dataset(stream, question, parent_encoding="utf-8")
    return Question(FIND, bytes(stream.getvalue()), str(ImplicitVRLittleEndian))


def asked_by(recorder: Recorder, *, by_hand: bool = False) -> Callable[[Destination, Dataset], None]:
    """What tells the trail each question that any PACS is asked by C-FIND."""

    def tell(peer: Destination, question: Dataset) -> None:
        recorder.asked(peer, identifier(question), datetime.now(UTC), by_hand=by_hand)

    return tell


def asked_of(archive: Archive, recorder: Recorder) -> Callable[[Dataset], None]:
    """What tells the trail each question that an archive is asked for whoever runs this process."""

    def tell(question: Dataset) -> None:
        matched = {one.keyword: str(one.value) for one in question if one.value}
        recorder.asked_web(Question(archive.url, urlencode(matched).encode()), datetime.now(UTC))

    return tell if archive.retrieve == "web" else partial(asked_by(recorder, by_hand=True), archive.peer)
