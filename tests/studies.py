"""Made-up studies with their readings, one for each thing that can become of a study and each kind of header."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta, timezone
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.sr.coding import Code

from cxrnode.finding import Outcome, Reading
from cxrnode.results.codes import coded
from cxrnode.results.encode import encode
from cxrnode.results.make import Made, Told, make
from cxrnode.settings.destination import families_wanted
from cxrnode.study import Predecessor
from tests.builders import CR, SC, make_cxr
from tests.readings import (
    PREDECESSOR,
    STARTED_AT,
    analysed,
    astray,
    context_for,
    outlined,
    radiograph_of,
    unread,
    with_regions,
)

HERE = timezone(timedelta(hours=1))
"""Where the judged studies are read; dcmpschk of DCMTK 3.6.7 takes an offset of +0000 for a fault."""
STUDY = "1.2.826.0.1.3680043.8.498.7"
AGE_UNKNOWN = "PatientAge (0010,1010) is absent; the model was trained on ages 1 to 5 years."


@dataclass(frozen=True)
class ReadStudy:
    """Sources and their readings, one to one."""

    sources: tuple[FileDataset, ...]
    readings: tuple[Reading, ...]
    predecessor: Predecessor | None = None

    def made(self) -> list[Made]:
        """Every object of every family, the report first."""
        images = [
            Told(source, reading, None if reading.finding is None else radiograph_of())
            for source, reading in zip(self.sources, self.readings, strict=True)
        ]
        context = context_for(self.sources[0], started_at=STARTED_AT.astimezone(HERE), predecessor=self.predecessor)
        return list(make(images, families_wanted(()), context))

    def write_results(self, folder: Path) -> list[Path]:
        """Write all of them into the folder; returns the paths."""
        results = [made.dataset for made in self.made()]
        paths = [folder / f"{number}.dcm" for number in range(len(results))]
        for path, result in zip(paths, results, strict=True):
            path.write_bytes(encode(result))
        return paths

    def write_sources(self, folder: Path) -> list[Path]:
        """Write the sources into the folder."""
        paths = [folder / f"source-{number}.dcm" for number in range(len(self.sources))]
        for path, source in zip(paths, self.sources, strict=True):
            source.save_as(path, enforce_file_format=True)
        return paths


def one(probability: float = 0.9, **attributes: object) -> ReadStudy:
    """A study of one analysed image."""
    source = make_cxr(**attributes)
    return ReadStudy((source,), (read(source, probability),))


def read(source: FileDataset, probability: float) -> Reading:
    """What a model said of the source, with the regions of a positive."""
    reading = analysed(source, probability, warnings=(AGE_UNKNOWN,))
    return with_regions(reading, source) if reading.outcome is Outcome.POSITIVE else reading


def regions_everywhere() -> ReadStudy:
    """Two positives of one study: regions in both lungs, and one in the left lung of a picture that is mirrored."""
    sources = tuple(
        make_cxr(StudyInstanceUID=STUDY, SeriesInstanceUID=f"{STUDY}.1", InstanceNumber=number, PatientOrientation=way)
        for number, way in ((1, ["L", "F"]), (2, ["R", "F"]))
    )
    return ReadStudy(sources, (outlined(sources[0], (1.0, 5.0)), outlined(sources[1])))


def placed(*, localised: bool) -> ReadStudy:
    """A study of one positive whose map was held against the lungs."""
    source = make_cxr()
    reading = astray(source, 0.75 if localised else 0.1234, localised=localised)
    return ReadStudy((source,), (with_regions(reading, source) if localised else reading,))


def unread_one(outcome: Outcome) -> ReadStudy:
    """A study of one image that no model has seen."""
    source = make_cxr()
    return ReadStudy((source,), (unread(source, outcome),))


def mixed(predecessor: Predecessor | None = None) -> ReadStudy:
    """Every outcome in one study, in two series."""
    sources = tuple(
        make_cxr(StudyInstanceUID=STUDY, SeriesInstanceUID=f"{STUDY}.{number % 2}", InstanceNumber=number)
        for number in range(1, 6)
    )
    readings = (
        read(sources[0], 0.9),
        read(sources[1], 0.1),
        unread(sources[2], Outcome.REFUSED),
        unread(sources[3], Outcome.FAILED, "The pixel data end after 1234 bytes"),
        unread(sources[4], Outcome.NOT_APPLICABLE, "BodyPartExamined (0018,0015) is FOOT; wanted CHEST"),
    )
    return ReadStudy(sources, readings, predecessor)


def bare() -> ReadStudy:
    """A header of 1995: a CR without what later became customary."""
    absent = (
        "SpecificCharacterSet", "StudyDate", "StudyTime", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge",
        "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "SeriesNumber", "InstanceNumber",
        "PatientOrientation", "BodyPartExamined", "ImageLaterality", "PresentationIntentType",
    )  # fmt: skip
    return one(SOPClassUID=CR, Modality="CR", **dict.fromkeys(absent))


def full() -> ReadStudy:
    """A header with everything that a result takes over."""
    issuer = Dataset()
    issuer.LocalNamespaceEntityID = "RIS"
    return one(
        IssuerOfPatientID="HOSPITAL",
        IssuerOfAccessionNumberSequence=[issuer],
        ProcedureCodeSequence=[coded(Code("399208008", "SCT", "Plain X-ray of chest"))],
        PatientIdentityRemoved="YES",
        DeidentificationMethod="made up",
        TimezoneOffsetFromUTC="+0100",
        PatientSize="1.02",
        PatientWeight="16.5",
        OtherPatientNames="Other^Name",
        PhysiciansOfRecord="Doctor^Some",
        LossyImageCompression="01",
        LossyImageCompressionRatio="10",
        LossyImageCompressionMethod="ISO_10918_1",
    )


STUDIES: dict[str, Callable[[], ReadStudy]] = {
    "positive": lambda: one(0.9),
    "negative": lambda: one(0.1),
    "positive astray": lambda: placed(localised=False),
    "positive in the lungs": lambda: placed(localised=True),
    "regions in both lungs": regions_everywhere,
    "refused": lambda: unread_one(Outcome.REFUSED),
    "failed": lambda: unread_one(Outcome.FAILED),
    "every outcome at once": mixed,
    "superseding": lambda: mixed(PREDECESSOR),
    "Latin 1": lambda: one(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen"),
    "UTF-8": lambda: one(SpecificCharacterSet="ISO_IR 192", PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "Japanese": lambda: one(
        SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"
    ),
    "Korean": lambda: one(SpecificCharacterSet=["", "ISO 2022 IR 149"], PatientName="Hong^Gildong=洪^吉洞=홍^길동"),
    "Chinese": lambda: one(SpecificCharacterSet="GB18030", PatientName="Wang^XiaoDong=王^小东"),
    "a bare header": bare,
    "a full header": full,
    "a secondary capture": lambda: one(SOPClassUID=SC, ConversionType="WSD", BodyPartExamined="LUNG"),
}
