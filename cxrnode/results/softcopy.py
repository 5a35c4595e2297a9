"""How the source's picture looks, carried into a presentation state, which shows no more than it says itself."""

from contextlib import suppress

import numpy as np
from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from cxrnode.decoding.greyscale import POLARITY, Lut, read_lut
from cxrnode.errors import Refused
from cxrnode.headers.header import items, numbers, text, texts
from cxrnode.results.inherit import copy_sound

SHUTTERS = {
    "RECTANGULAR": tuple(
        f"Shutter{edge}Edge" for edge in ("LeftVertical", "RightVertical", "UpperHorizontal", "LowerHorizontal")
    ),
    "CIRCULAR": ("CenterOfCircularShutter", "RadiusOfCircularShutter"),
    "POLYGONAL": ("VerticesOfThePolygonalShutter",),
}


def keep_look(state: Dataset, source: Dataset) -> None:
    """Give the state the source's greyscale transformations, shutter and whole area (PS3.4 N.2).

    What of several windows and LUTs is taken is what `decoding.greyscale` takes: the first LUT, else the first window.
    Raises Refused where that room does.
    """
    _keep_modality(state, source)
    _keep_voi(state, source)
    state.PresentationLUTShape = POLARITY[text(source, "PhotometricInterpretation")]
    _keep_shutter(state, source)
    state.DisplayedAreaSelectionSequence = [_whole_area(source)]


def _keep_modality(state: Dataset, source: Dataset) -> None:
    """Modality LUT (PS3.3 C.11.1)."""
    if luts := items(source, "ModalityLUTSequence"):
        state.ModalityLUTSequence = [_lut(_read(luts[0], source))]
        state.ModalityLUTSequence[0].ModalityLUTType = "US"
    elif numbers(source, "RescaleSlope") or numbers(source, "RescaleIntercept"):
        state.RescaleSlope = _first(source, "RescaleSlope", 1.0)
        state.RescaleIntercept = _first(source, "RescaleIntercept", 0.0)
        state.RescaleType = "US"


def _keep_voi(state: Dataset, source: Dataset) -> None:
    """Softcopy VOI LUT (PS3.3 C.11.8)."""
    voi = Dataset()
    if luts := items(source, "VOILUTSequence"):
        voi.VOILUTSequence = [_lut(_full_range(_read(luts[0], source)))]
    elif numbers(source, "WindowCenter"):
        voi.WindowCenter = _first(source, "WindowCenter", 0.0)
        voi.WindowWidth = _first(source, "WindowWidth", 1.0)
        copy_sound(voi, source, "VOILUTFunction")
    else:
        return
    state.SoftcopyVOILUTSequence = [voi]


def _read(item: Dataset, source: Dataset) -> Lut:
    syntax = UID(text(getattr(source, "file_meta", Dataset()), "TransferSyntaxUID") or ExplicitVRLittleEndian)
    return read_lut(item, little_endian=syntax.is_little_endian)


def _full_range(lut: Lut) -> Lut:
    """A VOI LUT of 9 to 15 bits, which an image may have, as the one of 16 that a presentation state may."""
    if lut.bits in (8, 16):
        return lut
    return Lut(lut.first, 16, np.rint(lut.table * ((2**16 - 1) / (2**lut.bits - 1))).astype(np.uint16))


def _lut(lut: Lut) -> Dataset:
    """A LUT item of 8 or 16 bits (PS3.3 C.11.1.1) with VRs that do not hang on the source's Pixel Representation."""
    entries, bits = len(lut.table) % 2**16, 8 if lut.bits == 8 else 16
    item = Dataset()
    if lut.first < 0:
        item.add_new("LUTDescriptor", "SS", [entries - 2**16 if entries >= 2**15 else entries, lut.first, bits])
    else:
        item.add_new("LUTDescriptor", "US", [entries, lut.first, bits])
    content = lut.table.astype(np.uint8 if bits == 8 else "<u2").tobytes()
    item.add_new("LUTData", "OW", content + b"\0" * (len(content) % 2))
    return item


def _keep_shutter(state: Dataset, source: Dataset) -> None:
    """Presentation State Shutter (PS3.3 C.11.12): every shape of the source's that is described in full."""
    shapes = [
        shape
        for shape in texts(source, "ShutterShape")
        if shape in SHUTTERS and all(text(source, keyword) for keyword in SHUTTERS[shape])
    ]
    if not shapes:
        return
    state.ShutterShape = shapes
    state.ShutterPresentationValue = 0
    for keyword in ("ShutterPresentationValue", *(one for shape in shapes for one in SHUTTERS[shape])):
        copy_sound(state, source, keyword)


def _whole_area(source: Dataset) -> Dataset:
    """Displayed Area Selection (PS3.3 C.10.4): every pixel, as large as the window allows, in its own aspect."""
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [int(source.Columns), int(source.Rows)]
    area.PresentationSizeMode = "SCALE TO FIT"
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        if spacing := _pair(source, keyword):
            area.PresentationPixelSpacing = [format_number_as_ds(one) for one in spacing]
            return area
    area.PresentationPixelAspectRatio = [round(one) for one in _pair(source, "PixelAspectRatio")] or [1, 1]
    return area


def _pair(source: Dataset, keyword: str) -> tuple[float, ...]:
    """Two sizes down and across; none unless both are more than nothing."""
    with suppress(Refused):
        sizes = numbers(source, keyword)
        if len(sizes) == 2 and min(sizes) > 0:
            return sizes
    return ()


def _first(source: Dataset, keyword: str, default: float) -> str:
    return format_number_as_ds((numbers(source, keyword) or (default,))[0])
