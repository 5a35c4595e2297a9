"""Stored value to grey as one lookup table: padding, modality, VOI and polarity in the standard's order (PS3.4 N.2.1).

A radiograph has at most 65536 stored values, and millions of pixels: everything is worked out per value.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from cxrnode.errors import Refused
from cxrnode.headers.header import fault, items, named, numbers, text

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

NARROWEST_WINDOW = {"LINEAR": "at least 1", "LINEAR_EXACT": "more than 0", "SIGMOID": "more than 0"}
"""Window Width by VOI LUT Function (PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2)."""

POLARITY = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}
"""The Presentation LUT Shape that goes with each Photometric Interpretation (PS3.3 Table C.7-9 and C.8-71)."""


@dataclass(frozen=True)
class Stored:
    """What a code of `bits` bits stands for before any transformation (PS3.5 8.1.1), and LUT Data's byte order."""

    bits: int
    signed: bool
    little_endian: bool

    @property
    def values(self) -> Values:
        """The stored pixel value of every code, (2**bits,)."""
        codes = np.arange(2**self.bits, dtype=np.float64)
        return np.where(codes < 2 ** (self.bits - 1), codes, codes - 2**self.bits) if self.signed else codes


def grey_table(dataset: Dataset, stored: Stored, present: Mask) -> NDArray[np.float32]:
    """The grey of every code, (2**bits,) float32 in [0, 1], 0 = air and 1 = bone; padding is 0.

    `present` (2**bits,) says which codes occur. Raises Refused for transformations that cannot be, and for an
    image on which nothing can be seen.
    """
    inverted = _inverted(dataset)
    padding = padded(dataset, stored)
    shown = present & ~padding
    if np.count_nonzero(shown) < 2:
        raise Refused("PixelData (7FE0,0010) holds one and the same value throughout; wanted an image")
    grey = _voi(dataset, stored, _modality(dataset, stored), shown)
    if np.ptp(grey[shown]) == 0:
        raise Refused("Every pixel comes out the same grey after the modality and VOI transformations; wanted an image")
    if inverted:
        grey = 1.0 - grey
    grey[padding] = 0.0
    return grey.astype(np.float32)


def spans_its_pixels(dataset: Dataset, bits: int) -> bool:
    """Whether the greys reach from the darkest to the brightest pixel, as nothing else says what they are to show."""
    told = items(dataset, "VOILUTSequence") or numbers(dataset, "WindowCenter") or numbers(dataset, "WindowWidth")
    return bits > 8 and not told


def _inverted(dataset: Dataset) -> bool:
    """Whether the lowest value is meant to be white (PS3.3 C.7.6.3.1.2): said once or twice, it is inverted once.

    Viewers disagree on an image that contradicts itself (some follow one attribute, some the other), so it is refused.
    """
    photometric, shape = text(dataset, "PhotometricInterpretation"), text(dataset, "PresentationLUTShape")
    if shape and shape != POLARITY[photometric]:
        raise Refused(fault("PresentationLUTShape", shape, f"{POLARITY[photometric]} with {photometric}"))
    return photometric == "MONOCHROME1"


def padded(dataset: Dataset, stored: Stored) -> Mask:
    """The codes that fill the frame up and show no patient, in stored values, limits included (PS3.3 C.7.5.1.1.2)."""
    value = numbers(dataset, "PixelPaddingValue")
    if not value:
        return np.zeros(2**stored.bits, dtype=np.bool_)
    limit = numbers(dataset, "PixelPaddingRangeLimit") or value
    low, high = sorted(_sixteen_bits(one, signed=stored.signed) for one in (value[0], limit[0]))
    return (stored.values >= low) & (stored.values <= high)


def _modality(dataset: Dataset, stored: Stored) -> Values:
    """Modality LUT, else rescale slope and intercept (PS3.3 C.11.1); neither is no change."""
    lut = _first_lut(dataset, "ModalityLUTSequence")
    if lut is not None:
        return _looked_up(lut, stored.values, stored)[0]
    slope = (numbers(dataset, "RescaleSlope") or (1.0,))[0]
    intercept = (numbers(dataset, "RescaleIntercept") or (0.0,))[0]
    if slope == 0:
        raise Refused(fault("RescaleSlope", slope, "a number other than 0"))
    with np.errstate(over="ignore", invalid="ignore"):
        values: Values = stored.values * slope + intercept
        extent = float(values.max() - values.min())
    if not math.isfinite(extent):
        raise Refused(fault("RescaleSlope", slope, "one by which every value and their range are finite"))
    return values


def _voi(dataset: Dataset, stored: Stored, values: Values, shown: Mask) -> Values:
    """VOI LUT, else window, the first of several (PS3.3 C.11.2), scaled from its output range to [0, 1].

    With neither, an image of 8 bits spans what 8 bits can hold, and a deeper one its own darkest to brightest value.
    """
    lut = _first_lut(dataset, "VOILUTSequence")
    if lut is not None:
        output, highest = _looked_up(lut, values, stored)
        return output / highest
    centres, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if len(centres) != len(widths):
        raise Refused(
            f"{named('WindowCenter')} has {len(centres)} values and {named('WindowWidth')} has {len(widths)}; "
            "wanted as many of each"
        )
    if centres:
        return _windowed(values, centres[0], widths[0], text(dataset, "VOILUTFunction").upper() or "LINEAR")
    extent = values if stored.bits <= 8 else values[shown]
    low, high = float(extent.min()), float(extent.max())
    return np.clip((values - low) / (high - low or 1.0), 0.0, 1.0)


def _windowed(values: Values, centre: float, width: float, function: str) -> Values:
    """The window's curve, [0, 1]: LINEAR (PS3.3 C.11.2.1.2.1), SIGMOID (C.11.2.1.3.1), LINEAR_EXACT (C.11.2.1.3.2)."""
    if function not in NARROWEST_WINDOW:
        raise Refused(fault("VOILUTFunction", function, "LINEAR, LINEAR_EXACT or SIGMOID"))
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise Refused(fault("WindowWidth", width, f"{NARROWEST_WINDOW[function]} for {function}"))
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1.0
    if width == 0:
        return (values > centre).astype(np.float64)
    return np.clip((values - centre) / width + 0.5, 0.0, 1.0)


def _first_lut(dataset: Dataset, keyword: str) -> Dataset | None:
    found = items(dataset, keyword)
    if not found and keyword in dataset and dataset.get_item(keyword).value:
        raise Refused(fault(keyword, "unreadable", "a sequence of LUTs"))
    return found[0] if found else None


@dataclass(frozen=True, eq=False)
class Lut:
    """One LUT item (PS3.3 C.11.1.1, C.11.2.1.1): `table` (entries,) of `bits` bits, `first` as it is written."""

    first: int
    bits: int
    table: NDArray[np.uint16]


def read_lut(item: Dataset, *, little_endian: bool) -> Lut:
    """An item of a Modality or VOI LUT Sequence. Raises Refused for one that contradicts itself."""
    descriptor = numbers(item, "LUTDescriptor")
    if len(descriptor) != 3 or not 8 <= descriptor[2] <= 16:
        raise Refused(fault("LUTDescriptor", descriptor or None, "three numbers, the last 8 to 16 bits"))
    entries = int(descriptor[0]) % 2**16 or 2**16
    lut = Lut(int(descriptor[1]), int(descriptor[2]), _lut_entries(item, entries, little_endian=little_endian))
    highest = 2**lut.bits - 1
    if lut.table.max() > highest:
        raise Refused(fault("LUTData", f"up to {lut.table.max()}", f"at most {highest} as LUT Descriptor says"))
    return lut


def _looked_up(item: Dataset, values: Values, stored: Stored) -> tuple[Values, float]:
    """`values` through one LUT item, and the highest output its bits allow."""
    lut = read_lut(item, little_endian=stored.little_endian)
    first = _sixteen_bits(lut.first, signed=bool(values.min() < 0))
    indices = np.clip(np.rint(values) - first, 0, len(lut.table) - 1).astype(np.intp)
    return lut.table[indices].astype(np.float64), 2.0**lut.bits - 1.0


def _sixteen_bits(number: float, *, signed: bool) -> int:
    """A US or SS value with the sign that its use calls for: writers often choose the other VR."""
    return (int(number) + 2**15) % 2**16 - 2**15 if signed else int(number) % 2**16


def _lut_entries(item: Dataset, entries: int, *, little_endian: bool) -> NDArray[np.uint16]:
    """LUT Data, (entries,), as US, SS or OW; half as many words hold two 8 bit entries each, the low byte first."""
    element = item.get("LUTData")
    if isinstance(element, bytes):
        words = np.frombuffer(element[: len(element) // 2 * 2], dtype="<u2" if little_endian else ">u2").astype("<u2")
    else:
        words = np.array([int(number) % 2**16 for number in numbers(item, "LUTData")], dtype="<u2")
    if len(words) >= entries:
        return words[:entries].astype(np.uint16)
    if 2 * len(words) >= entries:
        return words.view(np.uint8)[:entries].astype(np.uint16)
    raise Refused(fault("LUTData", f"{len(words)} words", f"{entries} entries as LUT Descriptor says"))
