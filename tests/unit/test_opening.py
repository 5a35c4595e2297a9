"""Files that would take all memory end in a sentence: each limit of `opening` and of the pixels, without that memory.

A process whose address space has no room for what is claimed reads them all. Seen red: without `measure(content)` in
`parsed` the deflated, the wide and the deep file; without the components in `check_whole` those of many.
"""

import io
import json
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from cxrnode.errors import Unreadable
from cxrnode.headers import opening
from cxrnode.headers.opening import DEEPEST, parsed
from tests import bombs
from tests.builders import chest_like, make_cxr

ROOM_MB = 900
"""Address space for all of them, besides what the program itself takes."""
CHILD = """
import json, resource, sys
from datetime import UTC, datetime
from pathlib import Path
from cxrnode.analyse import analyse
from cxrnode.settings import Settings
from cxrnode.study import Instance, Study
from tests.fakes import FakeModel

size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + {room} * 2**20
resource.setrlimit(resource.RLIMIT_AS, (size, size))
for name in sys.argv[1:]:
    study = Study("k", "2.25.1", 1, (Instance("k", Path(name), "2.25.2", "0" * 64),))
    (analysis,) = analyse([study], FakeModel(), Settings(), datetime(2026, 1, 2, tzinfo=UTC))
    print(json.dumps([analysis.outcome, analysis.readings[0].reason]))
"""


def file(instance: FileDataset, behind: bytes = b"") -> bytes:
    """The instance as a PS3.10 file, with bytes behind it."""
    buffer = io.BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue() + behind


def inflating(megabytes: int) -> bytes:
    """A film in the deflated transfer syntax that inflates so far."""
    film = make_cxr()
    whole, meta = file(film), io.BytesIO()
    bare = whole[whole.index(struct.pack("<HH2s", 8, 5, b"CS")) :]
    film.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    write_file_meta_info(meta, film.file_meta)
    return bytes(128) + b"DICM" + meta.getvalue() + bombs.deflated(bare, megabytes)


def claiming(length: int) -> bytes:
    """A film whose Pixel Data claims this length, and breaks off."""
    heads = (struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, n) for n in (256 * 240 * 2, length))
    return file(make_cxr()).replace(*heads)[:-1000]


def coded(syntax: UID, frame: bytes) -> bytes:
    """A film with this frame."""
    film = make_cxr(chest_like(64, 64), PixelData=encapsulate([frame]))
    film["PixelData"].VR = "OB"
    film.file_meta.TransferSyntaxUID = syntax
    return file(film)


def jpeg_2000(rows: int, columns: int, components: int) -> bytes:
    siz = struct.pack(
        ">HHHIIIIIIIIH", 0xFF51, 38 + 3 * components, 0, columns, rows, 0, 0, columns, rows, 0, 0, components
    )
    return b"\xff\x4f" + siz + b"\x0f\1\1" * components + b"\xff\xd9"


def jpeg(rows: int, columns: int, marker: int = 0xC0, components: int = 1) -> bytes:
    return (
        b"\xff\xd8"
        + struct.pack(">BBHBHHB", 0xFF, marker, 8 + 3 * components, 8, rows, columns, components)
        + bytes(3 * components)
        + b"\xff\xd9"
    )


def rle(*offsets: int) -> bytes:
    return struct.pack("<16L", len(offsets), *offsets, *[0] * (15 - len(offsets))) + b"\x81\0" * 40


HOSTILE: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "inflates a thousandfold": (lambda: inflating(1500), "failed", "inflates from"),
    "items without end": (lambda: file(make_cxr(), bombs.wide(1_500_000)), "failed", "elements and items"),
    "300,000 elements": (lambda: file(make_cxr(), bombs.many(300_000)), "failed", "elements and items"),
    "deeply nested": (lambda: file(make_cxr(), bombs.nested(100_000)), "failed", "nests more than"),
    "deeply nested by length": (lambda: file(make_cxr(), bombs.nested_by_length(2_000)), "failed", "nests more than"),
    "claims 4 GB": (lambda: claiming(2**32 - 2), "failed", "PixelData"),
    "absurd rows": (lambda: file(make_cxr(Rows=65535, Columns=65535)), "refused", "Rows (0028,0010) is 65535"),
    "absurd frames": (lambda: file(make_cxr(NumberOfFrames=2**31 - 1)), "refused", "NumberOfFrames"),
    "JPEG 2000 of another size": (
        lambda: coded(JPEG2000Lossless, jpeg_2000(2**31, 2**31, 1)),
        "failed",
        "2147483648 rows",
    ),
    "JPEG 2000 of many components": (lambda: coded(JPEG2000Lossless, jpeg_2000(64, 64, 16384)), "failed", "components"),
    "JPEG of another size": (lambda: coded(JPEGBaseline8Bit, jpeg(65535, 65535)), "failed", "65535 rows"),
    "JPEG of many components": (lambda: coded(JPEGBaseline8Bit, jpeg(64, 64, components=255)), "failed", "components"),
    "JPEG-LS of another size": (lambda: coded(JPEGLSLossless, jpeg(65535, 65535, 0xF7)), "failed", "65535 rows"),
    "RLE of lies": (lambda: coded(RLELossless, rle(64, 2**32 - 1)), "failed", "cannot be decoded"),
    "RLE that overflows": (lambda: coded(RLELossless, rle(64, 66) + b"\x81\0" * 9000), "failed", "cannot be decoded"),
}


def test_no_file_takes_the_memory_that_it_claims(tmp_path: Path) -> None:
    paths = []
    for number, (make, _, _) in enumerate(HOSTILE.values()):
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(make())

    command = [sys.executable, "-W", "ignore", "-c", CHILD.format(room=ROOM_MB), *map(str, paths)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr[-2000:]
    told = dict(zip(HOSTILE, map(json.loads, ended.stdout.splitlines()), strict=True))
    wrong = {
        name: told[name]
        for name, (_, outcome, words) in HOSTILE.items()
        if told[name][0] != outcome or words not in told[name][1]
    }
    assert wrong == {}


@pytest.mark.parametrize("build", [bombs.nested, bombs.nested_by_length])
def test_nesting_is_counted_to_the_limit_and_no_further(build: Callable[[int], bytes]) -> None:
    film = file(make_cxr())

    parsed(film + build(DEEPEST))
    with pytest.raises(Unreadable, match=f"more than {DEEPEST} sequences"):
        parsed(film + build(DEEPEST + 1))


def test_a_deflated_film_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(inflating(1))

    assert parsed(path).PatientID == make_cxr().PatientID


@pytest.mark.parametrize("content", [b"", b"DICM", bytes(128) + b"DICM\2\0\0\0OB\0\0\4"])
def test_what_is_no_file_is_told_so(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "none.dcm"
    path.write_bytes(content)

    for source in (path, content):
        with pytest.raises(Unreadable, match="wanted a PS3"):
            parsed(source)


@pytest.mark.parametrize("read", [opening.measure, opening.parsed])
def test_one_deflated_data_set_is_in_memory_at_a_time(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[bytes], object]
) -> None:
    """Seen red: as many at once as there were senders, each of half a gigabyte."""
    inflated, together = opening._inflated, threading.Barrier(2)
    met: list[int] = []

    def meet(content: bytes) -> bytes:
        with suppress(threading.BrokenBarrierError):
            met.append(together.wait(0.5))
        return inflated(content)

    monkeypatch.setattr(opening, "_inflated", meet)
    film = make_cxr()
    film.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = io.BytesIO()
    film.save_as(content, enforce_file_format=True)
    with ThreadPoolExecutor(2) as two:
        list(two.map(read, [content.getvalue()] * 2))

    assert met == []
