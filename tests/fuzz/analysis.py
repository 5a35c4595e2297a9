"""The fuzzer of `analyse`, in a process of its own: real files made wrong, each read as a study beside a good one.

python -m tests.fuzz.analysis FOLDER: the file being read lies in FOLDER while it is read, so a process that died leaves
the one that killed it. A round that takes longer than WATCHDOG_S ends the process with the stack.
"""

import faulthandler
import importlib.util
import io
import os
import resource
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pydicom
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from cxrnode.analyse import Analysis, analyse
from cxrnode.finding import Outcome
from cxrnode.headers.header import unwarned
from cxrnode.settings import Settings
from cxrnode.study import Instance, Study
from tests.builders import DX_PRESENTATION, chest_like, make_cxr
from tests.fakes import FakeModel
from tests.fuzz.campaign import Campaign, resident_mb
from tests.fuzz.mutation import ODD_NUMBERS, mutated

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "dicom"
LARGEST_FILE = 3_000_000
HEADER = 4096
WATCHDOG_S = 60
ADDRESS_SPACE = 6 * 1024**3
WARM_UP = 100
GROWTH_MB = 400
GOOD_ONE_EVERY = 5
CHEST_FILM = {
    "SOPClassUID": DX_PRESENTATION,
    "SOPInstanceUID": "2.25.1",
    "StudyInstanceUID": "2.25.99",
    "Modality": "DX",
    "ImageType": ["ORIGINAL", "PRIMARY", ""],
    "BodyPartExamined": "CHEST",
    "ViewPosition": "AP",
    "PresentationIntentType": "FOR PRESENTATION",
    "Manufacturer": "Made Up Imaging",
    "BurnedInAnnotation": "NO",
}
ODD_VALUES = (b"", b"\0", b"-1", b"0", b"1", b"99999999999", b"1e400", b"NaN", b"\\\\\\", b"CHEST", b"DX", b"\xff" * 9)


def samples() -> list[bytes]:
    """Made-up films in several transfer syntaxes, the files of pydicom-data, and those beside the project."""
    found: list[Path] = []
    package = importlib.util.find_spec("data_store")
    for folder in [*(package.submodule_search_locations or [] if package else []), SHARED]:
        files = (path for path in sorted(Path(folder).rglob("*")) if path.is_file())
        found += [path for path in files if path.stat().st_size < LARGEST_FILE and b"DICM" in path.read_bytes()[:132]]
    return [*made_up(), *(content for path in found if (content := presented(path.read_bytes())))]


def made_up() -> list[bytes]:
    """Films that are read to the end, one for each kind of encoding."""
    films = []
    for syntax in (None, pydicom.uid.RLELossless, pydicom.uid.JPEGLSLossless, pydicom.uid.JPEG2000Lossless):
        film = make_cxr()
        if syntax:
            film.compress(syntax, generate_instance_uid=False)
        films.append(written(film))
    film = make_cxr()
    film.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    return [*films, written(film)]


def presented(content: bytes) -> bytes:
    """A real image under the name of a chest film, so that its pixels are decoded; empty when there are none."""
    try:
        dataset = pydicom.dcmread(io.BytesIO(content))
        if "PixelData" not in dataset:
            return b""
        for keyword, value in CHEST_FILM.items():
            setattr(dataset, keyword, value)
        return written(dataset)
    except Exception:  # noqa: BLE001  what pydicom cannot write again is left out: there is enough
        return b""


def written(dataset: Dataset) -> bytes:
    """A data set as a PS3.10 file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def spoiled(content: bytes, chance: Random) -> bytes:
    """One of three: wrong bytes in the header, wrong bytes anywhere, or wrong values under right tags."""
    kind = chance.randrange(4)
    if kind == 0:
        return mutated(content, chance)
    if kind == 1:
        return mutated(content, chance, within=HEADER)
    try:
        dataset = pydicom.dcmread(io.BytesIO(content))
        implicit = bool(dataset.original_encoding[0])
        for tag in chance.sample(sorted(dataset.keys()), min(len(dataset), chance.randint(1, 4))):
            raw = dataset.get_item(tag)
            value = raw.value if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes) else b""
            odd = chance.choice((*ODD_VALUES, chance.choice(ODD_NUMBERS).to_bytes(4, "little"), mutated(value, chance)))
            dataset[tag] = RawDataElement(
                Tag(tag), raw.VR, len(odd), odd, 0, is_implicit_VR=implicit, is_little_endian=True
            )
        return written(dataset)
    except Exception:  # noqa: BLE001  pydicom cannot write what it was given: bytes are spoiled instead
        return mutated(content, chance, within=HEADER)


def study_of(paths: Sequence[Path]) -> Study:
    """One study of these files."""
    instances = tuple(Instance(f"{n:032x}", path, f"2.25.{n + 1}", f"{n:064x}") for n, path in enumerate(paths))
    return Study("0" * 32, "2.25.99", 1, instances)


def judged(studies: Sequence[Study], settings: Settings) -> list[Analysis]:
    """What becomes of the studies."""
    return analyse(studies, FakeModel(), settings, datetime(2026, 1, 2, tzinfo=UTC))


def main(folder: Path) -> None:
    """Run until the time is up; an exception, a death or growth is a finding."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    rules = {"gate": "off", "require_patient_id": False}
    settings = Settings.model_validate({"rules": rules, "results": {"overlay_longest_side": 256}})
    campaign = Campaign("analyse")
    good, bad = folder / "good.dcm", folder / "bad.dcm"
    good.write_bytes(written(make_cxr(chest_like(64, 64))))
    known = samples()
    warm = 0.0
    for number, chance in campaign.each():
        bad.write_bytes(spoiled(chance.choice(known), chance))
        studies = [study_of([bad]), study_of([good])][: 1 if number % GOOD_ONE_EVERY else 2]
        faulthandler.dump_traceback_later(WATCHDOG_S, exit=True)
        try:
            with unwarned():
                campaign.ended(checked(judged(studies, settings)))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            bad.rename(folder / f"found-{campaign.found(number, error)}.dcm")
        faulthandler.cancel_dump_traceback_later()
        if number == WARM_UP:
            warm = resident_mb(os.getpid())
    grown = resident_mb(os.getpid()) - warm if warm else 0.0
    sys.stdout.write(f"{campaign}; {grown:+.0f} MB since round {WARM_UP}\n")
    sys.exit(bool(campaign.findings) or grown > GROWTH_MB)


def checked(analyses: Sequence[Analysis]) -> str:
    """How the first study ended: with a sentence where nothing was read, and with no harm to the good one beside it."""
    spoilt, *beside = analyses
    assert all(reading.finding is not None or reading.reason for reading in spoilt.readings), "no sentence"
    assert all(analysis.outcome is Outcome.POSITIVE for analysis in beside), "the good study beside it suffered"
    return spoilt.outcome


if __name__ == "__main__":
    main(Path(sys.argv[1]))
