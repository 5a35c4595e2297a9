"""The sentences that report and overlay share, so that both say the same of a reading."""

from collections import Counter
from collections.abc import Sequence

from cxrnode.counted import counted
from cxrnode.finding import Algorithm, Finding, Outcome, Reading, study_outcome

NOTICE = "AI RESULT - NOT FOR PRIMARY DIAGNOSIS"
INTENDED_USE = "Not a medical device. Not for primary diagnosis; a physician must read the image."

OUTCOMES = {
    Outcome.POSITIVE: "POSITIVE",
    Outcome.NEGATIVE: "NEGATIVE",
    Outcome.REFUSED: "REFUSED",
    Outcome.FAILED: "FAILED",
    Outcome.NOT_APPLICABLE: "NOT APPLICABLE",
}


def plain(text: str, length: int | None = None) -> str:
    """`text` in ASCII, which every character set can carry; a backslash, which parts values, becomes a slash."""
    return text.replace("\\", "/").encode("ascii", "replace").decode("ascii")[:length]


def figures(probability: float, operating_point: float) -> tuple[str, str]:
    """Both numbers with as few decimals, three to nine, as show which is greater; never rounded to certainty."""
    for decimals in range(3, 10):
        texts = (_decimals(probability, decimals), _decimals(operating_point, decimals))
        if texts[0] != texts[1] or probability == operating_point:
            break
    return texts


def _decimals(probability: float, decimals: int) -> str:
    smallest = 10.0**-decimals
    if 0.0 <= probability < smallest:
        return f"< {smallest:.{decimals}f}"
    if 1.0 - smallest < probability <= 1.0:
        return f"> {1.0 - smallest:.{decimals}f}"
    return f"{probability:.{decimals}f}"


def prevalence_sentence(algorithm: Algorithm) -> str:
    """Which prevalence the probability holds for, whose that is, and what it is worth elsewhere."""
    where = f"The probability holds where {percent(algorithm.prevalence)} of the images show pneumonia"
    if algorithm.card_prevalence is None:
        return f"{where}, as in training; where pneumonia is rarer, the true probability is lower."
    return (
        f"{where}, as this site has set; it and the operating point are shifted from the "
        f"{percent(algorithm.card_prevalence)} of the model's training."
    )


def percent(share: float) -> str:
    """A share as a percentage with one decimal, or with two figures where it is below 1 %."""
    return f"{share:.1%}" if share >= 0.01 else f"{share * 100:.2g}%"


def localisation_sentence(finding: Finding) -> str:
    """That a map does not point at the lungs, and by how much; empty when it does."""
    if finding.localised or finding.lung_share is None:
        return ""
    inside = f"{percent(finding.lung_share)} of it lies in them, less than of a map spread evenly"
    return f"Not localised: the heat map does not point at the lungs; {inside}."


def regions_sentence(count: int) -> str:
    """How many regions of a positive are outlined and by which rule; the probability is of none of them."""
    if count == 0:
        return "No region is outlined."
    outlined = "1 region is outlined" if count == 1 else f"{count} regions are outlined"
    return (
        f"{outlined}, where the heat map is at least half its maximum; the probability is of the whole image, "
        "not of a region."
    )


def population_sentence(algorithm: Algorithm) -> str:
    """Whom the model was trained on."""
    low, high = algorithm.age_years
    return f"Trained on patients of {low} to {high} years: {algorithm.population.rstrip('.')}."


def outcome_sentence(reading: Reading, algorithm: Algorithm) -> str:
    """The outcome of one image in words, with its figures or its reason."""
    if reading.finding is None:
        return f"{OUTCOMES[reading.outcome]}: {reading.reason}"
    said = f"{OUTCOMES[reading.outcome]} for pneumonia"
    side = "at or above" if reading.outcome is Outcome.POSITIVE else "below"
    probability, operating_point = figures(reading.finding.probability, algorithm.operating_point)
    return f"{said}: probability {probability}, {side} the operating point {operating_point}."


def study_sentence(readings: Sequence[Reading]) -> str:
    """The study's one outcome, and how many of its images had which."""
    counts = Counter(reading.outcome for reading in readings)
    parts = [f"{counts[outcome]} {outcome.value.replace('_', ' ')}" for outcome in Outcome if counts[outcome]]
    outcome = study_outcome(counts)
    return f"Study: {OUTCOMES[outcome]} for pneumonia ({counted(len(readings), 'image')}: {', '.join(parts)})."
