"""A specimen, the same with one thing changed at a time, and with a header that has hardly anything in it."""

import copy
from dataclasses import dataclass, replace
from datetime import timedelta

from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComputedRadiographyImageStorage

from cxrnode.conformance.objects import VARIED
from cxrnode.conformance.specimens import Case, Specimen, bumps, film, specimens
from cxrnode.finding import Algorithm, MapMethod
from cxrnode.results.inherit import IDENTITY, OPTIONAL, SEQUENCES, TYPE_2
from cxrnode.settings import Settings
from cxrnode.study import Predecessor
from cxrnode.uids import digest_of, uid_from

OTHER = {
    "PN": "Zzelse^Film", "LO": "SOMETHING ELSE", "SH": "ELSE", "LT": "else", "ST": "else", "UT": "else",
    "DA": "20190807", "TM": "0706", "AS": "003Y", "DS": "7.5", "IS": "7", "UI": "1.2.3.7",
}  # fmt: skip
"""Another value for each VR."""
OTHER_TERMS: dict[str, object] = {
    "PatientSex": "F", "PatientIdentityRemoved": "NO", "TypeOfPatientID": "RFID", "BodyPartExamined": "THORAX",
    "PatientOrientation": ["R", "F"], "SOPClassUID": ComputedRadiographyImageStorage,
    "SpecificCharacterSet": "ISO_IR 100", "LossyImageCompression": "00",
    "TimezoneOffsetFromUTC": "-0300", "UniversalEntityIDType": "UUID", "PhotometricInterpretation": "MONOCHROME1",
}  # fmt: skip
"""Another of the terms that a CS element may have."""


@dataclass(frozen=True, eq=False)
class Varied:
    """The objects of one film, those that each of VARIED makes of them, and those of a bare header."""

    films: tuple[Dataset, Dataset]
    """the film, and the other one of IMAGE"""
    base: list[Specimen]
    by: dict[str, list[Specimen]]
    bare: list[Specimen]

    @property
    def every(self) -> list[Specimen]:
        """All of them."""
        return [*self.base, *self.bare, *(one for word in VARIED for one in self.by[word])]


def vary(settings: Settings) -> Varied:
    """What a node with these settings makes of a film, and of others."""
    base = plain_case(settings)
    small = base.settings
    node = small.node.model_copy(update={"name": f"not {small.node.name}"[:16]})
    results = small.results.model_copy(update={"overlay_longest_side": 300})
    cases = {
        "IMAGE": replace(base, film=other(film(rows=80, columns=92))),
        "RESULT": replace(
            base, values=bumps((0.2, 0.3), (0.4, 0.7), (0.75, 0.4)), probability=0.81, peak=2.5, lung_share=0.72
        ),
        "MODEL": replace(base, algorithm=replace(algorithm("b"), explanation=MapMethod.ATTENTION_ROLLOUT)),
        "CONFIG": replace(base, settings=small.model_copy(update={"node": node, "results": results})),
        "TIME": replace(base, now=base.now + timedelta(days=1, hours=1)),
        "ROUND": replace(base, predecessor=Predecessor("1.2", "1.2.3", Comprehensive3DSRStorage, "1.2.3.4")),
    }
    return Varied(
        films=(base.film, cases["IMAGE"].film),
        base=specimens(base),
        by={word: specimens(cases[word]) for word in VARIED},
        bare=specimens(replace(base, film=bare(base.film), predecessor=None)),
    )


def plain_case(settings: Settings) -> Case:
    """The film with everything in its header; of the settings all but the pictures' size holds, which is small."""
    small = settings.model_copy(update={"results": settings.results.model_copy(update={"overlay_longest_side": 256})})
    return Case(film(), algorithm("a"), small, bumps((0.6, 0.3), (0.35, 0.72)))


def algorithm(name: str) -> Algorithm:
    """A model that there is not."""
    return Algorithm(
        name=f"model-{name}",
        version=f"1{name}",
        digest=digest_of(f"model {name}"),
        device_uid=uid_from(f"model {name}"),
        weights_sha256=digest_of(f"weights {name}"),
        operating_point=0.5 if name == "a" else 0.4,
        prevalence=0.5 if name == "a" else 0.4,
        population=f"nobody {name}",
        age_years=(1, 5),
    )


def other(dataset: Dataset) -> Dataset:
    """The same image with another value wherever a result could take one over."""
    made = copy.deepcopy(dataset)
    for element in made.iterall():
        value = OTHER_TERMS.get(element.keyword, OTHER.get(element.VR))
        if value is not None:
            element.value = value
    return made


def bare(dataset: Dataset) -> Dataset:
    """The same image with no more in its header than the standard of 1995 wanted."""
    made = copy.deepcopy(dataset)
    for keyword in (*TYPE_2, *IDENTITY):
        setattr(made, keyword, None)
    absent = (*OPTIONAL, *SEQUENCES, "SpecificCharacterSet", "TimezoneOffsetFromUTC", "BodyPartExamined")
    shape = ("PatientOrientation", "LossyImageCompression", "InstanceNumber", "SeriesNumber", "ImageLaterality")
    for keyword in (*absent, *shape):
        if keyword in made:
            delattr(made, keyword)
    return made
