"""Which decoder is asked for which transfer syntax: the fastest of those that are right about it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import (
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
)

from cxrnode.decoding.codestream import with_excess
from cxrnode.errors import Unreadable
from cxrnode.headers.header import ODD, unwarned

UNDECODABLE = (*ODD, RuntimeError, MemoryError)
"""What pydicom and its decoders raise on bytes that are no image."""

LOSSLESS_JPEG = (JPEGLossless, JPEGLosslessSV1)
JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, *LOSSLESS_JPEG)

RUST_PANIC = "PanicException"
"""What pylibjpeg-rle raises besides: no Exception, and a class that cannot be imported."""


def known(syntax: UID) -> bool:
    """Whether anything decodes this transfer syntax."""
    try:
        get_decoder(syntax)
    except NotImplementedError:
        return False
    return True


def describes(dataset: Dataset, syntax: UID) -> bool:
    """Whether pydicom, too, takes the header for that of an image."""
    runner = DecodeRunner(syntax)
    with unwarned():
        try:
            runner.set_source(dataset)
            runner.validate()
        except UNDECODABLE:
            return False
    return True


def decoded(dataset: Dataset, frame: bytes, syntax: UID, *, bits_allocated: int) -> NDArray[np.integer]:
    """What the decoder makes of the one frame, no colour or value changed, unused bits as they are.

    `frame` is the compressed one, where it is. Nothing is copied that need not be. Raises Unreadable.
    """
    if syntax in JPEG:
        pixels = _by_libjpeg_turbo(frame)
        if pixels is not None:
            _check_scan(frame, pixels)
            if syntax in LOSSLESS_JPEG and pixels.dtype.itemsize * 8 <= bits_allocated:
                return pixels.astype(f"u{bits_allocated // 8}", copy=False)
    with unwarned():
        try:
            return _by_pydicom(dataset, syntax)
        except BaseException as error:
            if not isinstance(error, UNDECODABLE) and type(error).__name__ != RUST_PANIC:
                raise
            raise Unreadable(
                f"PixelData (7FE0,0010) cannot be decoded as {syntax.name}; wanted one whole, undamaged frame"
            ) from error


def _by_pydicom(dataset: Dataset, syntax: UID) -> NDArray[np.integer]:
    """By the first of pydicom's decoders that is installed; JPEG-LS by the one that notices a broken stream."""
    options: dict[str, Any] = {"view_only": True, "correct_unused_bits": False}
    if syntax in JPEGLSTransferSyntaxes:
        options["decoding_plugin"] = "pyjpegls"
    return get_decoder(syntax).as_array(dataset, index=0, raw=True, **options)[0]


def _check_scan(frame: bytes, pixels: NDArray[np.integer]) -> None:
    """Raise Unreadable where bytes are missing within a JPEG: its `pixels` are then made up in part, without a word.

    It is decoded again with bits to spare: what a whole one does without changes one that lacks some.
    """
    again = _by_libjpeg_turbo(with_excess(frame))
    if again is None or not np.array_equal(again, pixels):
        raise Unreadable("PixelData (7FE0,0010) breaks off within its scan; wanted every pixel of a JPEG frame")


def _by_libjpeg_turbo(frame: bytes) -> NDArray[np.integer] | None:
    """A JPEG, lossless ones in a quarter of the others' time; None where it fails, and another is asked.

    The library takes a tenth of a second to load: no command waits for it that meets no such image.
    """
    from imagecodecs import jpeg_decode

    try:
        return jpeg_decode(frame)
    except (*UNDECODABLE, ImportError):
        return None
