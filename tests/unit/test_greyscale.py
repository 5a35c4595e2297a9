"""The grey pipeline step by step, by the standard's formulae and by DCMTK."""

import io
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread, uid
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from cxrnode.decoding.pixels import read_radiograph
from cxrnode.errors import Refused
from tests.builders import make_cxr
from tests.peers import program
from tests.trips import RAMP, lut_item, read


@pytest.mark.parametrize("window", [{}, {"WindowCenter": None, "WindowWidth": None}], ids=["window", "no window"])
def test_an_eight_bit_image_is_its_values_over_255_exactly(window: dict[str, object]) -> None:
    pixels = (RAMP % 256).astype(np.uint8)

    radiograph = read(make_cxr(pixels, bits_stored=8, **window))

    assert radiograph.dtype == np.float32
    np.testing.assert_array_equal(radiograph, pixels.astype(np.float32) / np.float32(255))


def test_an_eight_bit_image_is_not_stretched_to_its_own_values() -> None:
    pixels = (RAMP % 101).astype(np.uint8)

    radiograph = read(make_cxr(pixels, bits_stored=8, WindowCenter=None, WindowWidth=None))

    assert radiograph.max() == np.float32(100 / 255)


def test_a_deeper_image_without_a_window_spans_its_own_values() -> None:
    radiograph = read(make_cxr(RAMP // 2 + 700, WindowCenter=None, WindowWidth=None))

    assert (radiograph.min(), radiograph.max()) == (0.0, 1.0)


@pytest.mark.parametrize("shape", [True, False], ids=["shape given", "shape absent"])
@pytest.mark.parametrize(("photometric", "first"), [("MONOCHROME2", 0.0), ("MONOCHROME1", 1.0)])
def test_the_lowest_value_is_white_in_monochrome1_inverted_once(photometric: str, first: float, *, shape: bool) -> None:
    named = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}[photometric] if shape else None

    radiograph = read(make_cxr(RAMP, PhotometricInterpretation=photometric, PresentationLUTShape=named))

    assert (radiograph[0, 0], radiograph[-1, -1]) == (first, 1.0 - first)


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")])
def test_a_polarity_that_contradicts_itself_is_refused(photometric: str, shape: str) -> None:
    with pytest.raises(Refused, match=rf"PresentationLUTShape \(2050,0020\) is {shape}; wanted I.* with {photometric}"):
        read(make_cxr(RAMP, PhotometricInterpretation=photometric, PresentationLUTShape=shape))


def test_rescaling_comes_before_the_window() -> None:
    rescaled = {"RescaleSlope": "2", "RescaleIntercept": "-1000", "WindowCenter": "3096", "WindowWidth": "8191"}

    radiograph = read(make_cxr(RAMP, **rescaled))

    np.testing.assert_allclose(radiograph, np.clip((RAMP * 2.0 - 1000 - 3095.5) / 8190 + 0.5, 0, 1), atol=1e-6)


def test_a_negative_rescale_slope_turns_the_image_over() -> None:
    radiograph = read(make_cxr(RAMP, RescaleSlope="-1", RescaleIntercept="4095", WindowCenter=None, WindowWidth=None))

    assert (radiograph[0, 0], radiograph[-1, -1]) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR", np.clip((RAMP - 2047.5) / 999 + 0.5, 0, 1)),
        ("LINEAR_EXACT", np.clip((RAMP - 2048.0) / 1000 + 0.5, 0, 1)),
        ("SIGMOID", 1 / (1 + np.exp(-4 * (RAMP - 2048.0) / 1000))),
    ],
)
def test_the_window_follows_its_voi_lut_function(function: str, expected: NDArray[np.float64]) -> None:
    radiograph = read(make_cxr(RAMP, VOILUTFunction=function, WindowCenter="2048", WindowWidth="1000"))

    np.testing.assert_allclose(radiograph, expected, atol=1e-6)


def test_a_window_of_width_one_is_a_threshold() -> None:
    radiograph = read(make_cxr(RAMP, WindowCenter="2048", WindowWidth="1"))

    np.testing.assert_array_equal(radiograph, (RAMP > 2047.5).astype(np.float32))


def test_the_first_of_several_windows_is_used() -> None:
    several = read(make_cxr(RAMP, WindowCenter=["2048", "100"], WindowWidth=["4096", "10"]))

    np.testing.assert_array_equal(several, read(make_cxr(RAMP)))


def test_a_voi_lut_goes_before_the_window_and_the_first_of_several_is_used() -> None:
    steps = [0] * 2048 + [65535] * 2048
    instance = make_cxr(RAMP, VOILUTSequence=[lut_item(steps), lut_item(list(range(4096)))])

    np.testing.assert_array_equal(read(instance), (RAMP >= 2048).astype(np.float32))


def test_a_lut_holds_its_ends_outside_its_range() -> None:
    instance = make_cxr(RAMP, VOILUTSequence=[lut_item([100, 500, 1000], first=2000, bits=10)])

    some = read(instance).ravel()[[0, 2000, 2001, 2002, 4095]]

    np.testing.assert_allclose(some, np.array([100, 100, 500, 1000, 1000]) / 1023, atol=1e-6)


def test_a_modality_lut_comes_before_the_window_and_instead_of_rescaling() -> None:
    backwards = lut_item([4095 - value for value in range(4096)], bits=12, ModalityLUTType="US")

    radiograph = read(make_cxr(RAMP, ModalityLUTSequence=[backwards], RescaleSlope="7"))

    np.testing.assert_allclose(radiograph, 1 - RAMP / 4095, atol=1e-6)


def test_a_lut_below_zero_is_found_whatever_vr_its_first_value_was_written_in() -> None:
    signed = RAMP.astype(np.int16) - 2048
    item = lut_item(list(range(4096)), first=2**16 - 2048, bits=12)

    radiograph = read(make_cxr(signed, PixelRepresentation=1, VOILUTSequence=[item]))

    np.testing.assert_allclose(radiograph, RAMP / 4095, atol=1e-6)


def test_eight_bit_lut_entries_may_be_packed_two_a_word() -> None:
    item = lut_item([0] * 256, bits=8)
    item.LUTData = bytes(range(256))
    pixels = (RAMP % 256).astype(np.uint8)

    radiograph = read(make_cxr(pixels, bits_stored=8, VOILUTSequence=[item]))

    np.testing.assert_allclose(radiograph, pixels / 255, atol=1e-6)


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME2", "IDENTITY"), ("MONOCHROME1", "INVERSE")])
def test_padding_is_dark_and_does_not_stretch_the_range(photometric: str, shape: str) -> None:
    pixels = RAMP // 4 + 1000
    pixels[:8] = 4000
    pixels[8] = 3990
    instance = make_cxr(pixels, PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    del instance.WindowCenter, instance.WindowWidth
    instance.PixelPaddingValue, instance.PixelPaddingRangeLimit = 4000, 3990

    radiograph = read(instance)

    assert not radiograph[:9].any()
    assert (radiograph[9:].min(), radiograph[9:].max()) == (0.0, 1.0)


def test_signed_padding_is_found_when_it_was_written_unsigned() -> None:
    pixels = RAMP.astype(np.int16) - 1000
    pixels[0] = -2000
    instance = make_cxr(pixels, bits_stored=16, PixelRepresentation=1, WindowCenter=None, WindowWidth=None)
    instance.add_new(0x00280120, "US", 2**16 - 2000)

    radiograph = read(instance)

    assert (radiograph[1:].min(), radiograph[1:].max()) == (0.0, 1.0)


WINDOWS: dict[str, tuple[dict[str, object], str]] = {
    "no width": ({"WindowWidth": "0"}, r"WindowWidth \(0028,1051\) is 0.*; wanted at least 1 for LINEAR"),
    "narrow": ({"WindowWidth": "0.5"}, "at least 1 for LINEAR"),
    "negative": ({"WindowWidth": "-5", "VOILUTFunction": "SIGMOID"}, "more than 0 for SIGMOID"),
    "none exactly": ({"WindowWidth": "0", "VOILUTFunction": "LINEAR_EXACT"}, "more than 0 for LINEAR_EXACT"),
    "unknown function": ({"VOILUTFunction": "CUBIC"}, r"VOILUTFunction \(0028,1056\) is CUBIC"),
    "one width for two": ({"WindowCenter": ["1", "2"]}, "has 2 values and .* has 1"),
    "no width at all": ({"WindowWidth": None}, "has 1 values and .* has 0"),
    "flat rescale": ({"RescaleSlope": "0"}, r"RescaleSlope \(0028,1053\) is 0"),
    "everything white": ({"WindowCenter": "-9000", "WindowWidth": "10"}, "same grey"),
    "short lut": ({"VOILUTSequence": [lut_item([1, 2, 3], LUTDescriptor=[900, 0, 16])]}, "3 words; wanted 900 entries"),
    "deep lut": ({"VOILUTSequence": [lut_item([1, 2, 3], bits=32)]}, "LUTDescriptor"),
    "loud lut": ({"VOILUTSequence": [lut_item([1, 2, 3000], bits=8)]}, "up to 3000; wanted at most 255"),
}


@pytest.mark.parametrize(("attributes", "sentence"), WINDOWS.values(), ids=WINDOWS.keys())
def test_an_impossible_transformation_is_refused(attributes: dict[str, object], sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        read(make_cxr(RAMP, **attributes))


@pytest.mark.parametrize(("slope", "intercept"), [("1E305", "0"), ("8E304", "-1.6E308"), ("-1E305", "1E308")])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": None, "WindowWidth": None}], ids=["window", "no window"])
def test_a_slope_that_no_number_can_hold_is_refused(slope: str, intercept: str, window: dict[str, object]) -> None:
    """Red when the greys are no numbers: the model's pass fails then, and with it every study that is read in it."""
    with pytest.raises(Refused, match=r"RescaleSlope \(0028,1053\) is .*; wanted one by which every value"):
        read(make_cxr(RAMP, RescaleSlope=slope, RescaleIntercept=intercept, **window))


@pytest.mark.parametrize("written", [b"abc ", b"nan ", b"inf ", b"1\\x "])
def test_a_window_that_is_no_number_is_refused(written: bytes) -> None:
    buffer = io.BytesIO()
    make_cxr(RAMP, WindowWidth="7777").save_as(buffer)
    bad = buffer.getvalue().replace(b"DS\x04\x007777", b"DS\x04\x00" + written)  # in no UID made by chance

    with pytest.raises(Refused, match=r"WindowWidth \(0028,1051\)"):
        read_radiograph(dcmread(io.BytesIO(bad)))


def test_a_lut_sequence_that_cannot_be_parsed_is_refused_not_passed_over() -> None:
    instance = make_cxr(RAMP)
    instance[0x00283010] = RawDataElement(
        Tag(0x00283010), "SQ", 2, b"\0\0", 0, is_implicit_VR=False, is_little_endian=True
    )

    with pytest.raises(Refused, match=r"VOILUTSequence \(0028,3010\) is unreadable"):
        read_radiograph(instance)


def test_a_blank_image_is_refused_even_with_a_padded_frame() -> None:
    pixels = np.full((64, 64), 900, dtype=np.uint16)
    pixels[:4] = 0

    with pytest.raises(Refused, match="same value throughout"):
        read(make_cxr(pixels, PixelPaddingValue=0))


@settings(max_examples=60, deadline=None)
@given(bits=st.integers(7, 16), sign=st.sampled_from([0, 1]), inverse=st.sampled_from([0, 1]), seed=st.integers(0, 99))
def test_every_depth_and_sign_spans_from_air_to_bone(bits: int, sign: int, inverse: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 2**bits, (64, 64))
    values[0, :2] = 0, 2**bits - 1
    stored = (values - sign * 2 ** (bits - 1)).astype(np.int16 if sign else np.uint16)
    instance = make_cxr(stored, bits_stored=bits, PixelRepresentation=sign, WindowCenter=None, WindowWidth=None)
    instance.PhotometricInterpretation = ["MONOCHROME2", "MONOCHROME1"][inverse]
    instance.PresentationLUTShape = ["IDENTITY", "INVERSE"][inverse]

    radiograph = read(instance)

    np.testing.assert_allclose(radiograph, np.abs(inverse - values / (2**bits - 1)), atol=1e-6)


def dcmtk(file: Path, *options: str) -> NDArray[np.float64]:
    """What DCMTK shows of the file, in [0, 1]."""
    png = file.with_suffix(".png")
    subprocess.run([program("dcmj2pnm"), "-O", *options, "+on2", str(file), str(png)], check=True, capture_output=True)
    return np.asarray(Image.open(png)).astype(np.float64) / 65535


CURVED = [value * value // 256 for value in range(4096)]
SECOND: dict[str, tuple[dict[str, Any], str]] = {
    "window": ({"WindowCenter": "1900", "WindowWidth": "1500"}, "+Wi"),
    "sigmoid": ({"WindowCenter": "1900", "WindowWidth": "1500", "VOILUTFunction": "SIGMOID"}, "+Wi"),
    "monochrome1": ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, "+Wi"),
    "rescaled": ({"RescaleSlope": "3", "RescaleIntercept": "-2000", "WindowWidth": "5000"}, "+Wi"),
    "voi lut": ({"VOILUTSequence": [lut_item(CURVED, LUTExplanation="curved")]}, "+Wl"),
    "modality lut": (
        {
            "ModalityLUTSequence": [lut_item(CURVED, ModalityLUTType="US")],
            "RescaleSlope": None,
            "RescaleIntercept": None,
            "RescaleType": None,
            "WindowCenter": "30000",
            "WindowWidth": "50000",
        },
        "+Wi",
    ),
    "leaking bits": ({"BitsStored": 10, "HighBit": 9, "WindowCenter": "512", "WindowWidth": "1024"}, "+Wi"),
    "high bits": ({"BitsStored": 10, "HighBit": 11, "WindowCenter": "512", "WindowWidth": "1024"}, "+Wi"),
}


@pytest.mark.parametrize(("attributes", "voi"), SECOND.values(), ids=SECOND.keys())
def test_dcmtk_shows_the_same_picture(tmp_path: Path, attributes: dict[str, Any], voi: str) -> None:
    file = tmp_path / "image.dcm"
    make_cxr(RAMP, **attributes).save_as(file, enforce_file_format=True)

    np.testing.assert_allclose(read_radiograph(dcmread(file)), dcmtk(file, voi, "1"), atol=1e-4)


REAL = ["*RG1_J2KI", "*gdcm-CR-MONO1-10-chest.dcm", "*CR-ModalitySequenceLUT.dcm", "*JPLL_RG3_JPLL"]


@pytest.mark.parametrize("name", REAL)
def test_dcmtk_shows_the_same_picture_of_a_real_radiograph(shared_data: Path, tmp_path: Path, name: str) -> None:
    instance = dcmread(next((shared_data / "dicom").glob(f"*/{name}")))
    radiograph = read_radiograph(instance)
    if instance.file_meta.TransferSyntaxUID in uid.JPEG2000TransferSyntaxes:
        instance.decompress()
    file = tmp_path / "image.dcm"
    instance.save_as(file)

    voi = ("+Wi", "1") if "WindowCenter" in instance else ("+Wm",)

    np.testing.assert_allclose(radiograph, dcmtk(file, *voi), atol=1e-4)
