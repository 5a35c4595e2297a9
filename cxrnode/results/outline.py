"""The outlines of regions on a picture, with the numbers that the report gives them; legible on any grey."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxrnode.finding import Region, Side
from cxrnode.results.pen import font
from cxrnode.results.tracking import COLOUR

HALO_COLOUR = (0, 0, 0)
BOLD = "DejaVuSans-Bold.ttf"
SIDES = {Side.LEFT: " L", Side.RIGHT: " R", None: ""}
FINER = 4
"""Lines are drawn this much larger, then halved twice, so that their edges are smooth: OpenCV halves in an instant."""
SUBPIXEL_BITS = 4
SUBPIXEL = 2**SUBPIXEL_BITS


def trace(picture: Image.Image, regions: Sequence[Region], shape: tuple[int, ...]) -> None:
    """Draw the regions of a source of `shape` (rows, columns) on an RGB picture of the whole of it.

    Each is numbered from 1 in the order given and has L or R, the patient's side, where that is known.
    """
    if not regions:
        return
    scale = np.array([picture.width / shape[1], picture.height / shape[0]])
    outlines = [region.outline * scale for region in regions]
    width = thickness(picture)
    left, top, right, bottom = _reach(outlines, picture.size, 2 * width)
    within, size = [outline - (left, top) for outline in outlines], (right - left, bottom - top)
    part = np.array(picture.crop((left, top, right, bottom)))
    line, halo = lines(size, within, width, 2 * width)
    if (drawn := cv2.findNonZero(halo)) is not None:
        x, y = drawn.reshape(-1, 2).T
        part[y, x] = _cover(_cover(part[y, x], HALO_COLOUR, halo[y, x]), COLOUR, line[y, x])
    picture.paste(Image.fromarray(part), (left, top))
    for number, (region, outline) in enumerate(zip(regions, outlines, strict=True), start=1):
        _label(picture, outline, f"{number}{SIDES[region.side]}")


def thickness(picture: Image.Image) -> float:
    """How wide an outline is without its halo, in pixels of the picture."""
    return max(2.0, max(picture.size) / 400)


def lines(
    size: tuple[int, int], outlines: Sequence[NDArray[np.float64]], *widths: float
) -> Iterator[NDArray[np.uint8]]:
    """How much of each pixel is covered by closed lines of each width, 0 to 255; `size` is width and height.

    Of several widths the least comes first: what is wider covers it.
    """
    mask = np.zeros((size[1] * FINER, size[0] * FINER), dtype=np.uint8)
    points = [np.rint((outline * FINER - 0.5) * SUBPIXEL).astype(np.int32) for outline in outlines]
    for width in widths:
        cv2.polylines(mask, points, isClosed=True, color=(255.0,), thickness=round(width * FINER), shift=SUBPIXEL_BITS)
        half = cv2.resize(mask, (size[0] * 2, size[1] * 2), interpolation=cv2.INTER_AREA)
        yield np.asarray(cv2.resize(half, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _cover(pixels: NDArray[np.uint8], colour: tuple[int, int, int], over: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a colour over (N, 3) pixels as far as (N,) says."""
    share = over[:, None].astype(np.uint16)
    covered: NDArray[np.uint8] = (
        (pixels * (255 - share) + np.array(colour, dtype=np.uint16) * share + 127) // 255
    ).astype(np.uint8)
    return covered


def _reach(outlines: Sequence[NDArray[np.float64]], size: tuple[int, int], width: float) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what lines of this width may cover of a picture."""
    points, beside = np.concatenate(outlines), width / 2 + 2
    left, top = np.floor(points.min(axis=0) - beside).astype(int).clip(0, np.array(size) - 1).tolist()
    right, bottom = np.ceil(points.max(axis=0) + beside).astype(int).clip(1, size).tolist()
    return left, top, right, bottom


def _label(picture: Image.Image, outline: NDArray[np.float64], words: str) -> None:
    """Above the outline's highest point, or below it where there is no room above; never over the picture's edge."""
    size, gap = max(12.0, max(picture.size) / 36), 2 * thickness(picture)
    letters, halo = font(BOLD, size), round(size / 8)
    left, top, right, bottom = letters.getbbox(words, anchor="lt", stroke_width=halo)
    x, y = outline[outline[:, 1].argmin()]
    y = y - gap - bottom if y - gap - bottom + top >= 0 else y + gap
    x = min(max(x - (left + right) / 2, -left), picture.width - right)
    pen = ImageDraw.Draw(picture)
    pen.text((x, y), words, COLOUR, letters, anchor="lt", stroke_width=halo, stroke_fill=HALO_COLOUR)
