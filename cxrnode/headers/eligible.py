"""Which instances are frontal chest radiographs to be read, and a sentence for each of them and of the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydicom import Dataset
from pydicom.uid import UID

from cxrnode.finding import Algorithm, Outcome
from cxrnode.headers.anatomy import View, not_of_chest, view_of
from cxrnode.headers.header import fault, items, named, text, texts
from cxrnode.headers.population import population_remarks
from cxrnode.settings import Rules

FOR_PROCESSING_CLASS = "1.2.840.10008.5.1.4.1.1.1.1.1"
IMAGE_CLASSES = {
    *("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", FOR_PROCESSING_CLASS),  # CR, DX
    *("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.2", "1.2.840.10008.5.1.4.1.1.7.3"),  # Secondary Capture
}
DRAWN = {"AI", "CAD", "HEATMAP", "OVERLAY", "SALIENCY", "ANNOTATED", "SCREEN SAVE"}
"""Image Type's third value and later (PS3.3 C.7.6.1.1.2) in pictures that somebody's software has drawn."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of one instance before its pixels are looked at; `outcome` None: read it."""

    outcome: Outcome | None
    reason: str
    warnings: tuple[str, ...] = ()


def choose(datasets: Sequence[Dataset], rules: Rules, algorithm: Algorithm | None) -> list[Verdict]:
    """One verdict an instance of a study, in order; headers are enough, and none makes this raise.

    Of one exposure sent both for processing and for presentation the latter is read. While no model is chosen yet
    (None), its population is not asked about.
    """
    candidates = [Candidate(dataset, rules, algorithm) for dataset in datasets]
    verdicts = [_judge(candidate) for candidate in candidates]
    judged = list(zip(candidates, verdicts, strict=True))
    shown = [candidate for candidate, verdict in judged if verdict.outcome is None and not candidate.for_processing]
    twin = Verdict(
        Outcome.NOT_APPLICABLE,
        f"{named('PresentationIntentType')} is FOR PROCESSING; the same exposure is here FOR PRESENTATION and is read",
    )
    return [
        twin if verdict.outcome is not Outcome.NOT_APPLICABLE and candidate.is_shown_by(shown) else verdict
        for candidate, verdict in judged
    ]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One instance before the rules and the model that would read it."""

    dataset: Dataset
    rules: Rules
    algorithm: Algorithm | None

    def text(self, keyword: str) -> str:
        """The first value of an attribute, empty when there is none."""
        return text(self.dataset, keyword)

    @cached_property
    def view(self) -> View:
        """The view, as far as anything tells it."""
        return view_of(self.dataset, self.rules)

    @cached_property
    def outside(self) -> tuple[str, ...]:
        """How it lies outside the model's population."""
        return population_remarks(self.dataset, self.view, self.algorithm) if self.algorithm else ()

    @cached_property
    def for_processing(self) -> bool:
        """Whether these are raw pixels that nobody is meant to look at (PS3.3 C.8.11.1.1.1)."""
        intent = self.text("PresentationIntentType")
        return intent == "FOR PROCESSING" or (not intent and self.text("SOPClassUID") == FOR_PROCESSING_CLASS)

    @cached_property
    def exposure(self) -> tuple[str, str, str] | None:
        """When it was taken, in which view and of which side; None when nobody says when."""
        moment = self.text("AcquisitionDateTime")
        if not moment and self.text("AcquisitionTime"):
            moment = self.text("AcquisitionDate") + self.text("AcquisitionTime")
        side = self.text("ImageLaterality") or self.text("Laterality")
        return (moment, self.view.term, side) if moment else None

    def is_shown_by(self, others: Sequence["Candidate"]) -> bool:
        """Whether one of `others` shows these raw pixels.

        It names this instance in its Source Image Sequence, or else was taken at the same moment in the same view.
        """
        return self.for_processing and any(
            self.text("SOPInstanceUID") in other.sources or (self.exposure and self.exposure == other.exposure)
            for other in others
        )

    @cached_property
    def sources(self) -> set[str]:
        """The instances that this one was made from."""
        sources = (text(source, "ReferencedSOPInstanceUID") for source in items(self.dataset, "SourceImageSequence"))
        return {source for source in sources if source}


def _modality(candidate: Candidate) -> str:
    modality, read = candidate.text("Modality"), candidate.rules.modalities
    return (
        "" if modality in read else f"{named('Modality')} is {modality or 'absent'}; this node reads {', '.join(read)}"
    )


def _image(candidate: Candidate) -> str:
    sop_class = UID(candidate.text("SOPClassUID"))
    if sop_class in IMAGE_CLASSES:
        return ""
    name = sop_class.name if sop_class.name != sop_class else "not a class of the standard"
    return fault("SOPClassUID", name if sop_class else None, "CR, DX or Secondary Capture Image Storage")


def _untouched(candidate: Candidate) -> str:
    if candidate.text("Manufacturer").lower() == "cxrnode":
        return fault("Manufacturer", "cxrnode: this is a result of such a node", "the film that it was made from")
    if candidate.text("BurnedInAnnotation") == "YES":
        return fault("BurnedInAnnotation", "YES", "NO: a film with nothing written over it")
    image_type = [value.upper() for value in texts(candidate.dataset, "ImageType")]
    if DRAWN & {*image_type[2:]}:
        return fault("ImageType", "/".join(image_type), "a film that no software has drawn on")
    if image_type[:2] == ["DERIVED", "SECONDARY"] and candidate.sources:
        return fault("ImageType", "DERIVED/SECONDARY beside a source image", "the source image itself")
    return ""


def _chest(candidate: Candidate) -> str:
    return not_of_chest(candidate.dataset, candidate.rules)


def _frontal(candidate: Candidate) -> str:
    view, read = candidate.view, candidate.rules.views
    if not view.term or view.term in read:
        return ""
    return f"{named(view.keyword)} tells of view {view.term[:16]}; this node reads {', '.join(read)}"


def _identified(candidate: Candidate) -> str:
    if candidate.text("PatientID") or not candidate.rules.require_patient_id:
        return ""
    return fault("PatientID", None, "the identity that the result is filed under")


def _view_given(candidate: Candidate) -> str:
    if candidate.view.term or candidate.rules.view_absent == "read":
        return ""
    return fault("ViewPosition", None, " or ".join(candidate.rules.views))


def _presentable(candidate: Candidate) -> str:
    if candidate.rules.read_for_processing or not candidate.for_processing:
        return ""
    return fault("PresentationIntentType", "FOR PROCESSING", "FOR PRESENTATION")


def _in_population(candidate: Candidate) -> str:
    return ". ".join(candidate.outside) if candidate.rules.outside_population == "refuse" else ""


CHECKS: tuple[tuple[Outcome, Callable[[Candidate], str]], ...] = (
    (Outcome.NOT_APPLICABLE, _modality),
    (Outcome.NOT_APPLICABLE, _image),
    (Outcome.NOT_APPLICABLE, _untouched),
    (Outcome.NOT_APPLICABLE, _chest),
    (Outcome.NOT_APPLICABLE, _frontal),
    (Outcome.REFUSED, _identified),
    (Outcome.REFUSED, _view_given),
    (Outcome.REFUSED, _presentable),
    (Outcome.REFUSED, _in_population),
)
"""Each returns what it finds wrong; the first decides: what was never a frontal chest film is not applicable first."""


def _judge(candidate: Candidate) -> Verdict:
    for outcome, check in CHECKS:
        sentence = check(candidate)
        if sentence:
            return Verdict(outcome, sentence)
    view = f"{candidate.view.term} view" if candidate.view.term else "view not given"
    return Verdict(None, f"{candidate.text('Modality')} of the chest, {view}", tuple(filter(None, _remarks(candidate))))


def _remarks(candidate: Candidate) -> tuple[str, ...]:
    """What a reader of the result should know of an image that is read all the same; empty where all is well."""
    return (
        *candidate.outside,
        "" if candidate.view.term else f"{named('ViewPosition')} is absent; the image is read as a frontal view",
        f"{named('PresentationIntentType')} is FOR PROCESSING; the model knows greys as readers see them"
        if candidate.for_processing
        else "",
    )
