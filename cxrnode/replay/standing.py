"""How a replay stands: its studies by step, the verdicts so far, and why nothing is begun just now."""

from collections import Counter
from dataclasses import dataclass

from cxrnode.ledger.replaytables import Step
from cxrnode.plans.plan import Verdict


@dataclass
class Standing:
    """Counted by the ledger at the beginning of a run, and kept from then on."""

    steps: Counter[Step]
    verdicts: Counter[Verdict]
    read_before: int = 0
    """verdicts of this run that an earlier reading by the same model gave"""
    waits: str = ""
    """why no study is begun just now; empty where one is, or could be"""

    @property
    def total(self) -> int:
        """The studies of the plan."""
        return self.steps.total()

    @property
    def left(self) -> int:
        """Those without a verdict."""
        return self.total - self.steps[Step.DONE]

    @property
    def in_flight(self) -> int:
        """Those that are begun and without a verdict."""
        return self.steps[Step.FETCHING] + self.steps[Step.READING]

    def count(self, steps: Counter[Step], verdicts: Counter[Verdict]) -> None:
        """Take the ledger's count for this one."""
        self.steps, self.verdicts = steps, verdicts

    def move(self, before: Step, after: Step, studies: int = 1) -> None:
        """So many studies have taken a step."""
        self.steps[before] -= studies
        self.steps[after] += studies

    def conclude(self, before: Step, verdict: Verdict, studies: int = 1) -> None:
        """So many studies have their verdict."""
        self.move(before, Step.DONE, studies)
        self.verdicts[verdict] += studies
