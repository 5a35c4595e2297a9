"""Heat, outlines and banners for readers with other colour vision: what matters is told by lightness, not by hue."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cxrnode.results.banner import AMBER, BLACK, INK, PAPER
from cxrnode.results.heat import FLOOR, colours
from cxrnode.results.outline import HALO_COLOUR
from cxrnode.results.tracking import COLOUR

VISIONS = {  # linear RGB as seen without one kind of cone: Machado, Oliveira and Fernandes 2009, table 1, severity 1.0
    "usual": np.eye(3),
    "protanopia": [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)],
    "deuteranopia": [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)],
    "tritanopia": [(1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)],
}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
ENHANCED, LARGE, GRAPHICS = 7.0, 4.5, 3.0
"""Contrasts of WCAG 2.2: text for all (1.4.6), large text for all (1.4.6), graphics (1.4.11)."""

Colour = tuple[float, float, float]


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize(("ink", "ground"), [(INK, PAPER), (AMBER, PAPER), (BLACK, AMBER), (BLACK, INK)])
def test_every_line_of_the_banner_keeps_seven_to_one(vision: str, ink: Colour, ground: Colour) -> None:
    assert contrast(ink, ground, vision) >= ENHANCED


@pytest.mark.parametrize("vision", VISIONS)
def test_an_outline_and_its_number_keep_seven_to_one_against_their_halo(vision: str) -> None:
    assert contrast(COLOUR, HALO_COLOUR, vision) >= ENHANCED
    assert contrast(COLOUR, PAPER, vision) >= ENHANCED, "in the legend"


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("grey", range(0, 256, 5))
def test_line_or_halo_stands_out_from_any_grey_beneath_with_heat_or_without(vision: str, grey: int) -> None:
    for heat in (None, *colours(np.linspace(FLOOR, 1.0, 9))):
        ground = (grey, grey, grey) if heat is None else tuple(grey + (heat - grey) * 0.42)
        assert max(contrast(COLOUR, ground, vision), contrast(HALO_COLOUR, ground, vision)) >= GRAPHICS


@pytest.mark.parametrize("vision", VISIONS)
def test_the_ramp_grows_lighter_all_the_way_and_its_ends_keep_four_and_a_half_to_one(vision: str) -> None:
    ramp = colours(np.linspace(FLOOR, 1.0, 200))

    lightness = np.array([lightness_of(colour, vision) for colour in ramp])
    assert (np.diff(lightness) > 0).all()
    assert contrast(tuple(ramp[0]), tuple(ramp[-1]), vision) >= LARGE


@pytest.mark.parametrize("vision", VISIONS)
def test_positive_and_negative_differ_by_lightness(vision: str) -> None:
    assert contrast(AMBER, PAPER, vision) >= LARGE


def test_the_simulation_is_of_the_blindness_it_names() -> None:
    red, green, blue, yellow = (200, 60, 60), (90, 120, 60), (60, 60, 200), (200, 200, 60)

    assert apart(red, green, "deuteranopia") < 0.5 * apart(red, green, "usual")
    assert apart(blue, yellow, "deuteranopia") > 0.7 * apart(blue, yellow, "usual")
    assert contrast(red, BLACK, "protanopia") < 0.8 * contrast(red, BLACK, "usual"), "red is dark without its cone"


def seen(colour: Colour, vision: str) -> NDArray[np.float64]:
    """Linear RGB in [0, 1] as the eye with that vision has it, from sRGB in 0 to 255 (IEC 61966-2-1)."""
    encoded = np.asarray(colour, dtype=np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return np.clip(np.asarray(VISIONS[vision]) @ linear, 0.0, 1.0)


def contrast(one: Colour, other: Colour, vision: str) -> float:
    """The contrast ratio of WCAG 2.2, 1 to 21."""
    low, high = sorted(float(LUMINANCE @ seen(colour, vision)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def lightness_of(colour: Colour, vision: str) -> float:
    """CIE L*, 0 to 100."""
    luminance = float(LUMINANCE @ seen(colour, vision))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 216 / 24389 else luminance * 24389 / 27


def apart(one: Colour, other: Colour, vision: str) -> float:
    """How far two colours lie apart in linear RGB."""
    return float(np.linalg.norm(seen(one, vision) - seen(other, vision)))
