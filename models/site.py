"""Where a model answers: at which prevalence, and with a segmenter's help; its raw finding becomes an answer there."""

from dataclasses import dataclass, replace
from functools import cached_property

from cxrnode.finding import Algorithm, Finding, Outcome
from cxrnode.radiograph import Film
from cxrnode.stopwatch import stage
from models.algorithm import beside, shifted
from models.calibrate import at_prevalence
from models.lungs import Lungs


@dataclass(frozen=True, eq=False)
class Site:
    """`alone` is the algorithm as its card has it; `prevalence` None leaves the card's."""

    alone: Algorithm
    lungs: Lungs | None = None
    prevalence: float | None = None

    @cached_property
    def algorithm(self) -> Algorithm:
        """What results say of the model here. Raises ModelMismatch when nothing can be shifted from the card's."""
        helped = self.alone if self.lungs is None else beside(self.alone, {"lungs": self.lungs.digest})
        return helped if self.prevalence is None else shifted(helped, self.prevalence)

    def at(self, prevalence: float | None) -> "Site":
        """The same model at another prevalence. Raises ModelMismatch."""
        other = replace(self, prevalence=prevalence)
        _ = other.algorithm  # made now, so that a prevalence that it cannot have is refused now
        return other

    def answer(self, finding: Finding, radiograph: Film) -> Finding:
        """The finding at the site's prevalence; only a positive's map is shown, so only that is asked where it points.

        `radiograph` is in [0, 1].
        """
        here = self._shifted(finding)
        if self.lungs is None or self.algorithm.judge(here.probability) is not Outcome.POSITIVE:
            return here
        with stage("lungs"):
            return self.lungs.localise(here, radiograph)

    def warm(self) -> None:
        """One pass of what helps."""
        if self.lungs is not None:
            self.lungs.warm()

    def _shifted(self, finding: Finding) -> Finding:
        if self.algorithm.card_prevalence is None:
            return finding
        shift = (self.algorithm.card_prevalence, self.algorithm.prevalence)
        return replace(finding, probability=at_prevalence(finding.probability, *shift))
