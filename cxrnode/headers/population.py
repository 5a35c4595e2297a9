"""Whether an image is of those that the model was trained on, by the card's ages, views and modalities."""

from pydicom import Dataset

from cxrnode.finding import Algorithm
from cxrnode.headers.age import age_remark
from cxrnode.headers.anatomy import View
from cxrnode.headers.header import named, text


def population_remarks(dataset: Dataset, view: View, algorithm: Algorithm) -> tuple[str, ...]:
    """A sentence for each way in which the image lies outside the population, or its age is not known; none: inside.

    A view that nothing tells is no remark here: `rules.view_absent` says what becomes of it.
    """
    return tuple(
        filter(None, (age_remark(dataset, algorithm), _view_remark(view, algorithm), _modality(dataset, algorithm)))
    )


def _view_remark(view: View, algorithm: Algorithm) -> str:
    if not view.term or not algorithm.views or view.term in algorithm.views:
        return ""
    return f"{named(view.keyword)} tells of view {view.term[:16]}; the model was trained on {_either(algorithm.views)}"


def _modality(dataset: Dataset, algorithm: Algorithm) -> str:
    modality = text(dataset, "Modality")
    if not algorithm.modalities or modality in algorithm.modalities:
        return ""
    return f"{named('Modality')} is {modality[:16]}; the model was trained on {_either(algorithm.modalities)}"


def _either(terms: tuple[str, ...]) -> str:
    return " and ".join(terms)
