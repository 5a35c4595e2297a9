"""The largest disagreements as small pictures: the film, and each model's overlay of it, as far as they are held."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import Dataset

from cxrnode.compare.images import Images
from cxrnode.decoding.pixels import read_radiograph
from cxrnode.errors import Refused, Unreadable
from cxrnode.headers.header import items, text
from cxrnode.headers.opening import parsed
from cxrnode.ledger import Ledger
from cxrnode.ledger.comparisons import Held, held
from cxrnode.render import as_png, preview
from cxrnode.spool import Spool

SIDE = 440
"""Pixels of the longer side of a small picture"""
GREYS, COLOURS = 64, 128
"""As many as a small picture keeps: a page of twelve films is then a few megabytes"""


@dataclass(frozen=True)
class Picture:
    """A small picture as a data URI; empty where there is none, and then `lack` is the sentence that says why."""

    uri: str
    lack: str = ""


@dataclass(frozen=True)
class Shown:
    """One image of a comparison: where it stands among them, the film, and the overlays of A and of B."""

    place: int
    film: Picture
    a: Picture
    b: Picture


def largest(images: Images, most: int) -> list[int]:
    """The places of the images that two models disagree on most: flips first, then by how far their logits differ."""
    places = np.flatnonzero(images.analysed_by_both & (images.a.probability != images.b.probability))
    apart = np.abs(images.logit_difference[places])
    order = np.lexsort((places, -apart, ~images.flipped[places]))
    found: list[int] = places[order][:most].tolist()
    return found


def pictured(images: Images, places: Sequence[int], ledger: Ledger, spool: Spool) -> list[Shown]:
    """The pictures of the images at these places, in their order."""
    asked = [
        (images.keys[place].decode(), (images.a.round_keys[place].decode(), images.b.round_keys[place].decode()))
        for place in places
    ]
    shown = []
    for place, (key, _), one in zip(places, asked, held(ledger, asked), strict=True):
        a, b = (_overlay(one, files, spool) for files in one.overlays)
        shown.append(Shown(place, _film(one, spool.image(key)), a, b))
    return shown


def _film(one: Held, path: Path) -> Picture:
    if one.purged_at is not None:
        return Picture("", f"The film was deleted on {one.purged_at:%Y-%m-%d}, when its time was over.")
    if not path.exists():
        return Picture("", "The film is not on this disk.")
    try:
        return _small(preview(read_radiograph(parsed(path))), GREYS)
    except (Refused, Unreadable):
        return Picture("", "The film cannot be decoded.")


def _overlay(one: Held, files: Sequence[tuple[str, str]], spool: Spool) -> Picture:
    """The overlay about this image, of those of its round."""
    if one.purged_at is not None:
        return Picture("", "The overlay was deleted with the film.")
    for path in (spool.result(*file) for file in files):
        try:
            overlay = parsed(path)
        except Unreadable:
            continue
        if len(files) == 1 or one.sop_instance_uid in _sources(overlay):
            return _small(Image.fromarray(overlay.pixel_array), COLOURS)
    return Picture("", "There is no overlay of this reading on this disk.")


def _sources(overlay: Dataset) -> set[str]:
    return {text(item, "ReferencedSOPInstanceUID") for item in items(overlay, "SourceImageSequence")}


def _small(picture: Image.Image, colours: int) -> Picture:
    """A copy of at most SIDE pixels a side, in so many colours of its own."""
    small = picture.convert("L" if picture.mode == "L" else "RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    content = as_png(small.quantize(colours, dither=Image.Dither.NONE))
    return Picture(f"data:image/png;base64,{b64encode(content).decode()}")
