"""The overlay: one RGB Secondary Capture an analysed image, greys, heat and banners that every PACS can show."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from cxrnode.family import Family
from cxrnode.finding import Algorithm, Reading
from cxrnode.radiograph import Edges, Film, Radiograph
from cxrnode.results.banner import PAPER, Banner, banner_for
from cxrnode.results.capture import new_capture, put_pixels
from cxrnode.results.context import ResultContext
from cxrnode.results.heat import opacity, paint
from cxrnode.results.outline import trace
from cxrnode.results.pen import NOMINAL
from cxrnode.results.smaller import smaller
from cxrnode.results.words import NOTICE, outcome_sentence, plain
from cxrnode.settings.language import Words, load_words

SMALLEST_SIDE = 640
"""A smaller radiograph is enlarged until the whole overlay is this long, so that its banner can be read."""

LARGE = 4.0
"""Pillow, with a reducing gap of 2, shrinks a picture so many times as large in two steps."""


@dataclass(frozen=True)
class Frame:
    """Where the picture stands on the canvas, in pixels: its rows lie between the banners, and it is centred."""

    canvas: tuple[int, int]
    """width, height"""
    left: int
    top: int
    columns: int
    rows: int


def build_overlay(source: Dataset, film: Film, reading: Reading, context: ResultContext) -> Dataset:
    """The overlay of one analysed image.

    Raises ValueError for a reading without a finding: there is nothing to lay over.
    """
    draws = context.draw_not_localised
    words, side = load_words(context.language), context.overlay_longest_side
    pixels = draw(film, reading, context.algorithm, side, words=words, draw_not_localised=draws)
    overlay = new_capture(Family.OVERLAY, source, reading, context)
    _describe(overlay, reading, context)
    put_pixels(overlay, pixels)
    return overlay


def draw(
    film: Film,
    reading: Reading,
    algorithm: Algorithm,
    longest_side: int,
    *,
    words: Words,
    draw_not_localised: bool = False,
) -> NDArray[np.uint8]:
    """The picture with its banners, (rows, columns, 3) uint8, no side longer than `longest_side`."""
    if reading.finding is None:
        raise ValueError(f"a {reading.outcome} reading has nothing to draw")
    shown = reading.finding.localised or draw_not_localised
    banner = banner_for(reading, algorithm, words, shown=shown)
    radiograph = Radiograph.of(film)
    frame = frame_for(radiograph.shape, banner, longest_side)
    size = (frame.columns, frame.rows)
    _, greys = cv2.threshold(_resized(radiograph, size), 0.0, 0.0, cv2.THRESH_TOZERO)
    eight_bits = np.asarray(cv2.convertScaleAbs(greys, alpha=255), dtype=np.uint8)
    values = reading.finding.heatmap.resized(frame.rows, frame.columns)
    strength = opacity(reading.finding.probability, algorithm.operating_point) if shown else 0.0

    canvas = Image.new("RGB", frame.canvas, PAPER)
    picture = paint(eight_bits, values, strength)
    trace(picture, reading.regions, radiograph.shape)
    canvas.paste(picture, (frame.left, frame.top))
    banner.draw(canvas)
    return np.asarray(canvas)


def _resized(radiograph: Radiograph, size: tuple[int, int]) -> NDArray[np.float32]:
    """The greys at `size`, width and height: halved by their mean as often as they can be, then bicubic."""
    greys, edges = radiograph.greys, radiograph.edges
    while radiograph.halved is None and greys.shape[0] >= 2 * size[1] and not any(side % 2 for side in greys.shape):
        rows, columns = greys.shape
        greys = np.asarray(cv2.resize(greys, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA), dtype=np.float32)
        edges = Edges(0.0, 0.0, *greys.shape[::-1])
    by = (edges.right - edges.left) / size[0], (edges.bottom - edges.top) / size[1]
    if 1.0 <= min(by) <= max(by) < LARGE:
        return smaller(greys, edges, size)
    return np.asarray(Image.fromarray(greys).resize(size, Image.Resampling.BICUBIC, edges, 2.0))


def frame_for(shape: tuple[int, ...], banner: Banner, longest_side: int) -> Frame:
    """Fit a picture of `shape` (rows, columns) and its banners into a square of `longest_side` pixels."""
    rows, columns = shape
    side = min(longest_side, max(SMALLEST_SIDE, rows, columns))
    banners = (banner.top + banner.bottom) / NOMINAL
    width = round(min(side, max(side / 2, side / (rows / columns + banners))))
    top, bottom = round(banner.top * width / NOMINAL), round(banner.bottom * width / NOMINAL)
    scale = min(width / columns, (side - top - bottom) / rows)
    fitted = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    return Frame((width, top + fitted[1] + bottom), (width - fitted[0]) // 2, top, *fitted)


def _describe(overlay: Dataset, reading: Reading, context: ResultContext) -> None:
    overlay.BurnedInAnnotation = "YES"
    sentence = outcome_sentence(reading, context.algorithm)
    drawn = f"Radiograph resampled to 8 bits, with the {context.algorithm.explanation} map above the operating point"
    drawn = f"{drawn}, the outlines of its regions"
    if reading.finding is not None and not (reading.finding.localised or context.draw_not_localised):
        drawn = "Radiograph resampled to 8 bits, without its map"
    sentence = f"{sentence} {reading.reason}".rstrip()
    overlay.DerivationDescription = plain(f"{drawn}, and banners. {context.algorithm.name}. {sentence}", 1024)
    overlay.ImageComments = plain(f"{NOTICE}. {sentence}")
