"""From bytes to stored values: layouts, encodings, what breaks off, and what is no radiograph at all."""

import io
import warnings
from pathlib import Path

import numpy as np
import openjpeg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread, uid
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.tag import Tag

from cxrnode.decoding.pixels import read_radiograph
from cxrnode.errors import Refused, Unreadable
from tests.builders import chest_like, make_cxr
from tests.trips import RAMP, read, sent

LOSSLESS = [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless]
CODED = [*LOSSLESS, uid.JPEGBaseline8Bit]


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def compressed(syntax: uid.UID) -> FileDataset:
    """A chest of 12 bits in `syntax`, of 8 in JPEG Baseline, which holds no more."""
    instance = make_cxr()
    if syntax == uid.JPEGBaseline8Bit:
        eight = (chest_like() >> 4).astype(np.uint8)
        instance = make_cxr(eight, bits_stored=8, PixelData=encapsulate([jpeg(eight)]))
        instance["PixelData"].VR = "OB"
        instance.file_meta.TransferSyntaxUID = syntax
    else:
        instance.compress(syntax, generate_instance_uid=False)
    return sent(instance)


def test_signed_pixels_keep_their_order() -> None:
    signed = RAMP.astype(np.int16) - 2048

    radiograph = read(make_cxr(signed, PixelRepresentation=1, WindowCenter="0", WindowWidth="4096"))

    np.testing.assert_allclose(radiograph, RAMP / 4095, atol=1e-6)


def test_signed_values_of_fewer_bits_than_allocated_are_read_by_their_own_sign_bit() -> None:
    bare = (RAMP - 2048).astype(np.uint16) & 0x0FFF  # twelve bits, the four above left empty

    radiograph = read(make_cxr(bare, PixelRepresentation=1, WindowCenter="0", WindowWidth="4096"))

    np.testing.assert_allclose(radiograph, RAMP / 4095, atol=1e-6)


def test_an_overlay_in_the_unused_high_bits_does_not_leak_into_the_image() -> None:
    noise = np.random.default_rng(1).integers(0, 16, RAMP.shape).astype(np.uint16) << 12

    np.testing.assert_array_equal(read(make_cxr(RAMP | noise)), read(make_cxr(RAMP)))


def test_values_at_the_upper_end_of_the_word_are_shifted_down() -> None:
    radiograph = read(make_cxr((RAMP << 4) | 0x0005, HighBit=15))

    np.testing.assert_array_equal(radiograph, read(make_cxr(RAMP)))


def test_big_endian_pixels_are_read_alike() -> None:
    instance = Dataset(make_cxr(RAMP.astype(">u2")))
    instance.file_meta = make_cxr().file_meta
    instance.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian

    np.testing.assert_array_equal(read(instance), read(make_cxr(RAMP)))


def test_the_data_set_is_left_as_it_was() -> None:
    instance = sent(make_cxr(RAMP))

    read_radiograph(instance)

    assert instance == sent(instance)
    assert instance.PixelData == RAMP.tobytes()


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
def test_lossless_encodings_read_as_the_raw_image(syntax: uid.UID) -> None:
    np.testing.assert_array_equal(read_radiograph(compressed(syntax)), read(make_cxr()))


def test_jpeg_baseline_reads_within_its_loss() -> None:
    raw = (chest_like() >> 4).astype(np.float32) / 255

    assert np.abs(read_radiograph(compressed(uid.JPEGBaseline8Bit)) - raw).mean() < 0.01


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("syntax", CODED, ids=lambda syntax: syntax.name)
def test_a_frame_that_breaks_off_is_unreadable_never_a_part_of_an_image(syntax: uid.UID, keep: float) -> None:
    instance = compressed(syntax)
    frame = get_frame(instance.PixelData, 0, number_of_frames=1)
    instance.PixelData = encapsulate([frame[: int(len(frame) * keep)]])

    with pytest.raises(Unreadable, match=r"PixelData \(7FE0,0010\)"):
        read(instance)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
def test_a_frame_that_lacks_a_fragment_in_the_middle_is_unreadable(syntax: uid.UID) -> None:
    instance = compressed(syntax)
    frame = get_frame(instance.PixelData, 0, number_of_frames=1)
    instance.PixelData = encapsulate([frame[: len(frame) // 3] + frame[len(frame) // 2 :]])

    with pytest.raises(Unreadable):
        read(instance)


@pytest.mark.parametrize("syntax", CODED[1:], ids=lambda syntax: syntax.name)
def test_a_frame_of_another_shape_than_the_header_says_is_unreadable(syntax: uid.UID) -> None:
    instance = compressed(syntax)
    instance.Rows, instance.Columns = instance.Columns, instance.Rows

    with pytest.raises(Unreadable, match="holds 256 rows of 240 px; wanted 240 of 256 px"):
        read(instance)


@pytest.mark.parametrize("syntax", CODED[1:], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("frame", [b"", b"\xff\xd8\xff\xd9", b"\xff\x4f\xff\x51\xff\xd9", b"GIF89a"])
def test_a_frame_of_rubbish_is_unreadable(syntax: uid.UID, frame: bytes) -> None:
    instance = compressed(syntax)
    instance.PixelData = encapsulate([frame or b"\0\0"])

    with pytest.raises(Unreadable, match="wanted"):
        read(instance)


def test_padding_after_the_end_of_a_frame_does_no_harm() -> None:
    instance = compressed(uid.JPEGLSLossless)
    frame = get_frame(instance.PixelData, 0, number_of_frames=1)
    instance.PixelData = encapsulate([frame.rstrip(b"\0") + b"\xff\0\0\0"])

    np.testing.assert_array_equal(read(instance), read(make_cxr()))


@pytest.mark.parametrize("row", [0, 3, 127])
def test_a_single_row_is_enough_to_be_seen_wherever_it_lies(row: int) -> None:
    """Red when rows that are looked at first are taken for all of them."""
    pixels = np.full((128, 96), 1000, dtype=np.uint16)
    with pytest.raises(Refused, match="one and the same value"):
        read(make_cxr(pixels, WindowCenter="2000", WindowWidth="4000"))
    pixels[row] = 3000

    greys = read(make_cxr(pixels, WindowCenter="2000", WindowWidth="4000"))

    assert (greys[row] > greys[row - 1]).all()
    assert np.unique(greys).size == 2


def test_raw_pixels_that_break_off_are_unreadable() -> None:
    instance = make_cxr(RAMP)
    instance.PixelData = instance.PixelData[:5000]

    with pytest.raises(Unreadable, match="breaks off after 5000 bytes; wanted 8192"):
        read(instance)


def test_a_file_cut_off_within_compressed_pixels_is_unreadable() -> None:
    buffer = io.BytesIO()
    compressed(uid.JPEG2000Lossless).save_as(buffer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cut = dcmread(io.BytesIO(buffer.getvalue()[: len(buffer.getvalue()) // 2]))

    with pytest.raises(Unreadable, match="absent, or the file breaks off"):
        read_radiograph(cut)


@pytest.mark.parametrize("pixels", [None, b""], ids=["absent", "empty"])
def test_an_image_without_pixels_is_unreadable(pixels: bytes | None) -> None:
    with pytest.raises(Unreadable, match=r"PixelData \(7FE0,0010\) is absent"):
        read_radiograph(make_cxr(PixelData=pixels))


@pytest.mark.parametrize("vr", [b"OT", b"UC", b"UR", b"SQ"])
def test_pixels_of_another_value_representation_are_unreadable(vr: bytes) -> None:
    """Found by the fuzzer: pydicom raises NotImplementedError for OT, which was no sentence."""
    image = make_cxr()
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    odd = buffer.getvalue().replace(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x10\x00" + vr)

    with pytest.raises(Unreadable, match=r"PixelData \(7FE0,0010\) .*wanted a radiograph"):
        read_radiograph(dcmread(io.BytesIO(odd)))


def test_an_unknown_transfer_syntax_is_unreadable() -> None:
    instance = make_cxr()
    instance.file_meta.TransferSyntaxUID = uid.UID("1.2.826.0.1.3680043.9.9999.1")

    with pytest.raises(Unreadable, match=r"TransferSyntaxUID \(0002,0010\) is 1.2.826.0.1.3680043.9.9999.1; wanted"):
        read_radiograph(instance)


def test_an_empty_data_set_is_unreadable() -> None:
    with pytest.raises(Unreadable, match=r"TransferSyntaxUID \(0002,0010\) is absent"):
        read_radiograph(Dataset())


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "colour": ({"PhotometricInterpretation": "RGB"}, r"PhotometricInterpretation \(0028,0004\) is RGB"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR; wanted MONOCHROME1 or MONOCHROME2"),
    "three samples": ({"SamplesPerPixel": 3}, r"SamplesPerPixel \(0028,0002\) is 3; wanted 1"),
    "two frames": ({"NumberOfFrames": 2}, r"NumberOfFrames \(0028,0008\) is 2; wanted 1"),
    "planes": ({"PlanarConfiguration": 1}, r"PlanarConfiguration \(0028,0006\) is 1; wanted 0"),
    "more bits than room": ({"BitsStored": 17, "HighBit": 16}, r"BitsStored \(0028,0101\) is 17; wanted 2 to 16"),
    "no bits": ({"BitsStored": 0}, r"BitsStored \(0028,0101\) is 0"),
    "32 bits": ({"BitsAllocated": 32}, r"BitsAllocated \(0028,0100\) is 32; wanted 8 or 16"),
    "high bit too low": ({"HighBit": 3}, r"HighBit \(0028,0102\) is 3; wanted 11 to 15"),
    "sign unknown": ({"PixelRepresentation": 2}, r"PixelRepresentation \(0028,0103\) is 2; wanted 0 or 1"),
    "no rows": ({"Rows": None}, r"Rows \(0028,0010\) is absent"),
    "tiny": ({"Rows": 10}, r"Rows \(0028,0010\) is 10; wanted 64 to 10000"),
    "two frames' worth": ({"PixelData": RAMP.tobytes() * 2}, "more than one frame; wanted 8192"),
}


@pytest.mark.parametrize(("attributes", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_an_impossible_description_is_refused_by_name_value_and_want(
    attributes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(Refused, match=sentence):
        read(make_cxr(RAMP, **attributes))


KEYWORDS = [
    *("Rows", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "SamplesPerPixel", "NumberOfFrames"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "RescaleSlope", "RescaleIntercept", "PresentationLUTShape"),
    *("PhotometricInterpretation", "VOILUTSequence", "ModalityLUTSequence"),
]
ODD = [b"", b"\0\0", b"\xff\xff", b"abc", b"-1\\2", b"1e400", b"\xff\xfe\0", b"0.00001", b"A\\B", b"\x01\0\x02\0"]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYWORDS), st.sampled_from(ODD), min_size=1, max_size=3))
def test_odd_headers_end_in_an_image_or_in_a_sentence(odd: dict[str, bytes]) -> None:
    instance = make_cxr(RAMP)
    for keyword, value in odd.items():
        tag = Tag(keyword)
        instance[tag] = RawDataElement(
            tag, dictionary_VR(tag), len(value), value, 0, is_implicit_VR=False, is_little_endian=True
        )

    try:
        radiograph = read_radiograph(instance)
    except (Refused, Unreadable):
        return

    assert radiograph.dtype == np.float32
    assert 0.0 <= radiograph.min() < radiograph.max() <= 1.0


def test_every_real_file_is_read_or_gets_a_sentence(shared_data: Path) -> None:
    outcomes: dict[str, list[str]] = {"chest": [], "xray": [], "other": [], "docs": [], "synthetic": []}

    for file in sorted((shared_data / "dicom").glob("*/*")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            instance = dcmread(file, force=True)
        try:
            shape = read_radiograph(instance).shape
            outcomes[file.parent.name].append("read" if shape == (instance.Rows, instance.Columns) else "misread")
        except (Refused, Unreadable) as reason:
            outcomes[file.parent.name].append("told" if "; wanted " in str(reason) else "untold")

    assert sum(map(len, outcomes.values())) == 120
    assert {outcome for folder in outcomes.values() for outcome in folder} == {"read", "told"}
    assert outcomes["chest"].count("read") == 4
    assert outcomes["docs"].count("read") == 0


@pytest.mark.parametrize(("bits", "kind"), [(12, np.int16), (7, np.int8)])
def test_signed_values_that_a_lossy_stream_overshoots_are_cut_off_and_do_not_wrap(bits: int, kind: type) -> None:
    """Red when the bits above are only left out: specks of black in bone, of white in air."""
    bright = chest_like(256, 256) > 2048
    pixels = np.where(bright, 2 ** (bits - 1) - 1, -(2 ** (bits - 1))).astype(kind)
    frame = openjpeg.encode(pixels, bits_stored=pixels.itemsize * 8, compression_ratios=[8], use_mct=False)
    film = make_cxr(
        pixels,
        bits_stored=bits,
        PixelRepresentation=1,
        WindowCenter="0",
        WindowWidth=str(2**bits),
        PixelData=encapsulate([bytes(frame)]),
    )
    film["PixelData"].VR = "OB"
    film.file_meta.TransferSyntaxUID = uid.JPEG2000

    decoded, greys = openjpeg.decode(frame), read(film)
    above, below = decoded >= 2 ** (bits - 1), decoded < -(2 ** (bits - 1))
    assert above.any()
    assert below.any()
    assert set(greys[above]) == {1.0}
    assert set(greys[below]) == {0.0}
