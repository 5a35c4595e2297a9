"""Header values read with suspicion: an odd header is refused in a sentence, and never crashes the node."""

import math
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import Tag
from pydicom.valuerep import PersonName

from cxrnode.errors import Refused

ODD = (
    ValueError, TypeError, AttributeError, LookupError, ArithmeticError, NotImplementedError, EOFError, OSError,
    struct.error, BytesLengthException, RecursionError,
)  # fmt: skip
"""What pydicom raises when a value is not what its VR promises."""

UNPARSABLE = (*ODD, InvalidDicomError, zlib.error, MemoryError)
"""What pydicom raises when a file is not DICOM, or breaks off."""


@contextmanager
def unwarned() -> Iterator[None]:
    """Pydicom's remarks on odd values kept quiet: what matters of them becomes a refusal here.

    Python has one set of filters for all threads: the first to enter changes it, the last to leave puts it back.
    """
    with _ENTERING:
        if not _INSIDE:
            _LOUD.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _INSIDE.append(None)
    try:
        yield
    finally:
        with _ENTERING:
            _INSIDE.pop()
            if not _INSIDE:
                _LOUD.close()


_ENTERING, _LOUD = threading.Lock(), ExitStack()
_INSIDE: list[None] = []


def named(keyword: str) -> str:
    """An attribute as a sentence names it: `Modality (0008,0060)`."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    return f"{keyword} ({tag.group:04X},{tag.element:04X})"


def fault(keyword: str, value: object, wanted: str) -> str:
    """The sentence that names the attribute, its value and what was wanted."""
    shown = "absent" if value is None else repr(str(value))[1:-1][:64] or "empty"
    return f"{named(keyword)} is {shown}; wanted {wanted}"


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Every value of an attribute as stripped text; none when it is absent, empty or cannot be read."""
    with unwarned():
        try:
            value = dataset.get(keyword)
            if value is None or isinstance(value, bytes | Dataset):
                return ()
            values = [value] if isinstance(value, str | PersonName) or not hasattr(value, "__iter__") else list(value)
            return tuple(text for text in (str(one).strip(" \0") for one in values) if text)
        except ODD:
            return ()


def text(dataset: Dataset, keyword: str) -> str:
    """The first value of an attribute as stripped text, empty when there is none."""
    return next(iter(texts(dataset, keyword)), "")


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """The items of a sequence; none when it is absent, empty or no sequence at all."""
    with unwarned():
        try:
            return tuple(item for item in dataset.get(keyword) or () if isinstance(item, Dataset))
        except ODD:
            return ()


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Every value of a numeric attribute; none when it is absent or empty. Raises Refused for what is no number."""
    with unwarned():
        try:
            value = dataset.get(keyword)
            if value is None or value == "":
                return ()
            if isinstance(value, bytes):  # which pydicom leaves where it could not tell US from SS
                raise TypeError
            values = tuple(float(one) for one in ([value] if isinstance(value, str | float | int) else value))
        except ODD as error:
            raise Refused(fault(keyword, _as_written(dataset, keyword), "numbers")) from error
    if not all(math.isfinite(one) for one in values):
        raise Refused(fault(keyword, values, "finite numbers"))
    return values


def whole(dataset: Dataset, keyword: str, wanted: range, default: int | None = None) -> int:
    """The one whole number of an attribute, `default` when it has none. Raises Refused outside `wanted`."""
    found = numbers(dataset, keyword)
    if not found and default is not None:
        return default
    if len(found) == 1 and found[0] in wanted:
        return int(found[0])
    shown = ", ".join(f"{one:g}" for one in found) or "absent"
    span = " or ".join(map(str, wanted)) if len(wanted) <= 2 else f"{wanted.start} to {wanted[-1]}"
    raise Refused(f"{named(keyword)} is {shown}; wanted {span}")


def _as_written(dataset: Dataset, keyword: str) -> object:
    element = dataset.get_item(keyword)
    value = getattr(element, "value", None)
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value
