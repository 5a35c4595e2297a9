"""JPEG 2000 decoded in part says what the whole says: the same films, the same sentences, whoever wrote the stream."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from imagecodecs import htj2k_encode
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread, uid
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.tag import Tag

from cxrnode.decoding.pixels import read_at_least, read_radiograph, side_wanted
from cxrnode.errors import Refused, Unreadable
from cxrnode.radiograph import Halved, Radiograph
from cxrnode.settings import Settings
from models.gate import load as load_gate
from models.gatecard import find_gate
from models.shelf import Shelf
from tests.builders import chest_like, make_cxr
from tests.fakes import ALGORITHM
from tests.trips import RAMP, sent
from tests.unit.test_pixels import KEYWORDS, ODD, REFUSED

SIDE = 16
"""So few are asked for that films of 64 pixels a side can be halved twice."""
WINDOW = {"WindowCenter": "2048", "WindowWidth": "4096"}


def in_jpeg_2000(pixels: NDArray[np.integer] = RAMP, **attributes: object) -> FileDataset:
    """Without loss, with whatever is said of it besides."""
    described = ("PixelRepresentation", "HighBit", "BitsStored")
    instance = make_cxr(pixels, **{key: value for key, value in attributes.items() if key in described})
    instance.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    for keyword, value in (WINDOW | attributes).items():
        setattr(instance, keyword, value)
    return sent(instance)


def framed(frame: bytes, instance: FileDataset | None = None) -> FileDataset:
    """The same instance with another codestream."""
    made = in_jpeg_2000() if instance is None else instance
    made.PixelData = encapsulate([frame])
    return sent(made)


def frame_of(instance: Dataset) -> bytes:
    return get_frame(instance.PixelData, 0, number_of_frames=1)


def written(pixels: NDArray[np.integer], **options: object) -> bytes:
    """A codestream that Pillow writes as told."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG2000", no_jp2=True, **options)
    return buffer.getvalue()


def read(instance: Dataset, side: int | None) -> Radiograph | str:
    """The radiograph, or the sentence."""
    try:
        return read_at_least(instance, side)
    except (Refused, Unreadable) as error:
        return f"{type(error).__name__}: {error}"


def outcome(instance: Dataset, side: int | None) -> str:
    """The sentence, or that there is a radiograph."""
    found = read(instance, side)
    return found if isinstance(found, str) else str(found.shape)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("side", [16, 32])
def test_values_of_any_depth_and_sign_keep_their_grey(bits: int, side: int, *, signed: bool) -> None:
    down, across = np.mgrid[0:64, 0:80]
    codes = (down + across) * ((2**bits - 1) // 142)  # which halving leaves where it is, but at the edges
    low = 2 ** (bits - 1) if signed else 0
    kind = np.dtype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    film = in_jpeg_2000(
        (codes - low).astype(kind),
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=int(signed),
        WindowCenter=str(2 ** (bits - 1) - low),
        WindowWidth=str(2**bits),
    )

    small, whole = read_at_least(film, side), read_radiograph(film)
    step = 64 // side
    assert small.halved == Halved(step // 2, "5/3")
    far = np.abs(small.greys - whole[::step, ::step])[2:-2, 2:-2]
    assert far.max() <= 1.5 / (2**bits - 1) + 1e-6


@pytest.mark.parametrize(("attributes", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_an_impossible_description_gets_the_same_sentence(attributes: dict[str, object], sentence: str) -> None:
    instance = in_jpeg_2000()
    for keyword, value in attributes.items():
        setattr(instance, keyword, value)

    assert outcome(instance, SIDE) == outcome(instance, None)
    assert sentence


@settings(max_examples=100, deadline=None)
@example({"NumberOfFrames": b"\0\0"})  # which pydicom refuses and this house takes for one
@example({"WindowCenter": b"", "PixelPaddingValue": b"abc"})  # which pydicom gives as bytes when it is asked again
@given(st.dictionaries(st.sampled_from(KEYWORDS), st.sampled_from(ODD), min_size=1, max_size=3))
def test_odd_headers_get_the_same_answer(odd: dict[str, bytes]) -> None:
    instance = in_jpeg_2000()
    for keyword, value in odd.items():
        tag, kind = Tag(keyword), dictionary_VR(Tag(keyword))
        instance[tag] = RawDataElement(tag, kind, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)

    assert outcome(instance, SIDE) == outcome(instance, None)


@pytest.mark.parametrize("progression", ["LRCP", "RLCP", "RPCL", "PCRL", "CPRL"])
@pytest.mark.parametrize(("first", "last"), [(0.5, 1), (0.9, 1), (0.97, 1), (0.3, 0.5), (0.8, 0.9), (0.95, 0.96)])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"], ids=["", "with an end"])
def test_what_is_cut_from_a_stream_is_missed_in_part_as_in_whole(
    first: float, last: float, end: bytes, progression: str
) -> None:
    frame = written(chest_like(300, 280), progression=progression)
    cut = framed(frame[: int(first * len(frame))] + frame[int(last * len(frame)) :] + end)
    cut.Rows, cut.Columns, cut.BitsStored, cut.HighBit = 300, 280, 16, 15

    assert outcome(cut, SIDE) == outcome(cut, None)
    assert outcome(cut, SIDE).startswith("Unreadable: ")


@pytest.mark.parametrize(
    "frame", [b"\0\0", b"\xff\x4f\xff\x51\xff\xd9", b"\xff\x4f\xff\x51" + b"\0" * 60 + b"\xff\xd9"]
)
def test_rubbish_gets_the_same_sentence(frame: bytes) -> None:
    assert outcome(framed(frame), SIDE) == outcome(framed(frame), None)


WHOLE_AFTER_ALL = {
    "nothing says what greys are to show": {"WindowCenter": None, "WindowWidth": None},
    "padding": {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 700},
    "a window that leaves one grey": {"WindowCenter": "60000", "WindowWidth": "10"},
}


@pytest.mark.parametrize("attributes", WHOLE_AFTER_ALL.values(), ids=WHOLE_AFTER_ALL.keys())
def test_a_film_whose_greys_depend_on_every_pixel_is_decoded_whole(attributes: dict[str, object]) -> None:
    film = in_jpeg_2000(**attributes)

    assert outcome(film, SIDE) == outcome(film, None)
    if outcome(film, None) == "(64, 64)":
        assert np.array_equal(read_at_least(film, SIDE).greys, read_radiograph(film))


def without_length(frame: bytes) -> bytes:
    at = frame.index(b"\xff\x90\x00\x0a")
    return frame[: at + 6] + b"\0\0\0\0" + frame[at + 10 :]


SIXTEEN = (RAMP * 16).astype(np.uint16)
STREAMS: dict[str, tuple[bytes, int]] = {
    "plain": (written(SIXTEEN), 2),
    "two halvings in all": (written(SIXTEEN, num_resolutions=3), 2),
    "one halving in all": (written(SIXTEEN, num_resolutions=2), 1),
    "none": (written(SIXTEEN, num_resolutions=1), 0),
    "tiles": (written(SIXTEEN, tile_size=(32, 32)), 2),
    "tiles odd across": (written(SIXTEEN, tile_size=(17, 32), num_resolutions=3), 0),
    "tiles odd down": (written(SIXTEEN, tile_size=(32, 17), num_resolutions=3), 0),
    "tiles of an odd half": (written(SIXTEEN, tile_size=(34, 34), num_resolutions=3), 1),
    "high throughput": (htj2k_encode(SIXTEEN), 2),
    "a tile-part without its length": (without_length(written(SIXTEEN)), 0),
}


@pytest.mark.parametrize(("frame", "times"), STREAMS.values(), ids=STREAMS.keys())
def test_a_stream_is_halved_as_often_as_it_can_be(frame: bytes, times: int) -> None:
    film = framed(frame)
    film.BitsStored, film.HighBit, film.WindowCenter, film.WindowWidth = 16, 15, "32768", "65536"

    small = read_at_least(film, SIDE)
    assert (small.halved.times if small.halved else 0) == times
    step = 2**times
    assert np.abs(small.greys - read_radiograph(film)[::step, ::step])[2:-2, 2:-2].max() < 0.02


def test_a_stream_away_from_the_origin_gets_the_same_sentence() -> None:
    film = framed(written(SIXTEEN, offset=(3, 5), tile_offset=(0, 0), tile_size=(80, 80)))

    assert outcome(film, SIDE) == outcome(film, None)


def test_a_side_that_leaves_one_over_is_halved_once_where_pillow_cannot_do_it_twice() -> None:
    film = in_jpeg_2000(chest_like(129, 128))

    assert read_at_least(film, SIDE).halved == Halved(1, "5/3")


def test_the_setting_says_how_much_is_decoded() -> None:
    asked = [side_wanted(ALGORITHM, Settings(pixels={"jpeg_2000": one})) for one in ("model", "overlay", "film")]

    assert asked == [448, 853, None]
    assert len({Settings(pixels={"jpeg_2000": one}).result_digest for one in ("model", "overlay", "film")}) == 3


def test_a_film_of_five_megapixels_keeps_its_probability() -> None:
    film = in_jpeg_2000(chest_like(2498, 2048))
    reader = Shelf(None, "cpu", 1).reader("pneumonia-efficientnet-lite0")
    small, whole = read_at_least(film, side_wanted(reader.algorithm, Settings())), Radiograph.of(read_radiograph(film))

    assert small.greys.shape == (625, 512)
    (found, exact) = reader.read([small, whole])
    assert abs(found.probability - exact.probability) <= 1e-3
    assert np.abs(found.heatmap.values - exact.heatmap.values).max() < 0.02


def test_every_real_film_keeps_its_answer(shared_data: Path) -> None:
    """Its outcome, its probability within 1e-3, and what the gate says of it, as decoded in part and as a whole."""
    reader = Shelf(None, "cpu", 1).reader("pneumonia-efficientnet-lite0")
    gate = load_gate(find_gate("refuse", None) or Path())
    halved = 0
    for file in sorted((shared_data / "dicom").glob("*/*")):
        instance = dcmread(file, force=True)
        small, whole = (read(instance, side) for side in (side_wanted(reader.algorithm, Settings()), None))
        if isinstance(small, str) or isinstance(whole, str):
            assert small == whole, file.name
        elif small.halved:
            found, exact = reader.read([small, whole])
            assert abs(found.probability - exact.probability) <= 1e-3, file.name
            assert bool(gate.objection(small)) == bool(gate.objection(whole)), file.name
            halved += 1
    assert halved >= 4
