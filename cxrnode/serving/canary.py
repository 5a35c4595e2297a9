"""The canary: a drawn film that the node sends its own receiver, and looks for until its results are where they belong.

It takes the way of every image: C-STORE, spool, ledger, model, results and, where the canary has a destination of its
own, delivery and commitment. It is in no count of patients, and erased when the next one was sent.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from cxrnode.audit.looking import whose_is
from cxrnode.audit.recorder import Recorder
from cxrnode.deliver import Answer, send
from cxrnode.draft import locked
from cxrnode.errors import AuditUnavailable, CxrNodeError, LedgerUnavailable, PeerUnavailable, StillOwed, Unknown
from cxrnode.ledger import Ledger, canaries, erasures
from cxrnode.ledger.erasures import Whole
from cxrnode.log import logger
from cxrnode.results.encode import encode
from cxrnode.serving.phantom import chest_film
from cxrnode.settings import Settings
from cxrnode.settings.certificates import ANY_NAME
from cxrnode.settings.destination import Destination
from cxrnode.settings.quality import address_of
from cxrnode.spool import Spool
from cxrnode.uids import uid_from

LOG = logger("canary")
SIDE = 512
TRIES, AGAIN_S = 12, 5.0
"""So often, and after so long, a receiver is called that does not listen yet, or has no room just now."""
NAME, PATIENT_ID = "CXRNODE^CANARY", "CXRNODE-CANARY"


class Canary:
    """What the receiver's loop does about canaries; `begin` runs the sending, in a thread unless told otherwise."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        spool: Spool,
        recorder: Recorder,
        begin: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._settings, self._ledger, self._spool, self._recorder = settings, ledger, spool, recorder
        self._begin = begin or (lambda send: threading.Thread(target=send, daemon=True).start())

    def turn(self, now: datetime) -> None:
        """Send one when it is time, look whether it has come back, erase those that have. Raises LedgerUnavailable."""
        wanted = self._settings.canary
        if wanted.every_h:
            uid = uid_from({"canary": self._settings.node.name, "at": now.isoformat()})
            if canaries.begin(self._ledger, uid, wanted.destination, now, wanted.every, wanted.within):
                LOG.info("canary sent")
                self._begin(partial(self._send, uid, now))
        for reason in canaries.conclude(self._ledger, now):
            LOG.error("canary lost", reason=reason)
        for key in canaries.spent(self._ledger):
            self._erase(key, now)

    def _send(self, study_instance_uid: str, now: datetime) -> None:
        for left in reversed(range(TRIES)):
            fault, again = self._fault(study_instance_uid, now)
            if not again or not left:
                break
            time.sleep(AGAIN_S)
        if fault:
            LOG.error("canary not taken", reason=fault)
            try:
                canaries.fail(self._ledger, study_instance_uid, fault, datetime.now(UTC))
            except LedgerUnavailable as error:
                LOG.warning("ledger away", reason=str(error))  # it will be late

    def _fault(self, study_instance_uid: str, now: datetime) -> tuple[str, bool]:
        """Why it was not taken, empty where it was, and whether it may be a moment later."""
        told: list[str] = []
        try:
            with TemporaryDirectory(prefix="canary-", dir=self._settings.node.state_dir) as folder:
                file = Path(folder) / "canary.dcm"
                file.write_bytes(encode(film(self._settings, study_instance_uid, now)))
                send([file], _receiver(self._settings), self._settings.canary.calling_ae, lambda _, sent: told.append(
                    "" if sent.answer is Answer.ACCEPTED else sent.reason
                ))  # fmt: skip
        except PeerUnavailable as error:
            return str(error), True
        except (CxrNodeError, OSError) as error:
            return type(error).__name__, False
        return "".join(told), False

    def _erase(self, key: str, now: datetime) -> None:
        """Bytes and rows of one; in the audit trail its end follows its arrival."""
        try:
            with locked(self._spool.root):  # not while a backup is made
                erasures.erase(self._ledger, key, now, partial(self._remove, now))
        except (StillOwed, Unknown, AuditUnavailable, OSError) as error:
            LOG.info("canary not erased yet", study=key, reason=type(error).__name__)

    def _remove(self, now: datetime, found: Whole) -> None:
        whose = whose_is(self._settings, self._ledger, found.key)
        self._recorder.removed(whose, found.classes, now, by_hand=False)
        for key in found.instances:
            self._spool.erase(key)
        for round_key in found.rounds:
            self._spool.purge_results(round_key)


def film(settings: Settings, study_instance_uid: str, now: datetime) -> Dataset:
    """The film of a canary, (512, 512), 12 bits; what the rules ask of a header it has."""
    rules, made = settings.rules, Dataset()
    digital = "DX" in rules.modalities
    sop_class = DigitalXRayImageStorageForPresentation if digital else ComputedRadiographyImageStorage
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance, series = canaries.image_of(study_instance_uid), uid_from({"canary": study_instance_uid, "of": "series"})
    local = now.astimezone()
    for keyword, value in {
        "SOPClassUID": sop_class, "SOPInstanceUID": instance, "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["ORIGINAL", "PRIMARY"], "StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": series,
        "PatientName": NAME, "PatientID": PATIENT_ID, "PatientBirthDate": "", "PatientSex": "O",
        "PatientAge": f"{settings.canary.age_years:03}Y",
        "StudyDate": f"{local:%Y%m%d}", "StudyTime": f"{local:%H%M%S}", "AccessionNumber": "", "StudyID": "CANARY",
        "ReferringPhysicianName": "", "StudyDescription": "Canary: a drawn film, nobody's", "SeriesNumber": 1,
        "InstanceNumber": 1, "Modality": "DX" if digital else rules.modalities[0], "Manufacturer": "drawn by a program",
        "BodyPartExamined": rules.body_parts[0], "ViewPosition": "AP" if "AP" in rules.views else rules.views[0],
        "PatientOrientation": ["L", "F"], "BurnedInAnnotation": "NO", "PresentationIntentType": "FOR PRESENTATION",
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "Rows": SIDE, "Columns": SIDE,
        "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0,
        "PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": -1, "PresentationLUTShape": "IDENTITY",
        "RescaleIntercept": "0", "RescaleSlope": "1", "RescaleType": "US", "LossyImageCompression": "00",
        "WindowCenter": "2048", "WindowWidth": "4096",
        "PixelData": (chest_film(SIDE) * 4095).astype(np.uint16).tobytes(),
    }.items():  # fmt: skip
        setattr(made, keyword, value)
    return made


def _receiver(settings: Settings) -> Destination:
    """This node's own receiver, as one who sends to it sees it."""
    receiving = settings.receiving
    where = {"host": address_of(receiving.host), "port": receiving.port, "ae_title": settings.node.ae_title}
    return Destination.model_validate(
        {"name": "receiver", "tls": receiving.tls, "tls_name": ANY_NAME if receiving.tls else "", **where}
    )
