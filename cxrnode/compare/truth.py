"""Labels put to images: by SOP Instance UID, else by Study Instance UID, else by accession number."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from cxrnode.compare.agreement import Calls
from cxrnode.compare.images import Images
from cxrnode.errors import Unreadable
from cxrnode.headers.header import text
from cxrnode.headers.opening import parsed
from cxrnode.spool import UID_PATTERN, Spool


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of N images: whether anything is, and whether it is positive; and the names of no image here."""

    known: Calls
    positive: Calls
    names_unknown: tuple[str, ...]


def truth_of(images: Images, labels: Mapping[str, bool], spool: Spool) -> Truth:
    """The labels of these images. A name of more (a study's) is the label of each of its images without one of its own.

    The ledger keeps no accession number: where a label's name is no UID that is known here and might be one, a film of
    each study that has no label yet is opened for its header; of a study whose films were purged there is none.
    """
    known, positive = np.zeros(len(images.keys), dtype=np.bool_), np.zeros(len(images.keys), dtype=np.bool_)
    found: set[str] = set()
    uids, studies = (column.astype(str).tolist() for column in (images.uids, images.study_uids))
    for place, (number, uid) in enumerate(zip(images.study.tolist(), uids, strict=True)):
        names = [name for name in (uid, studies[number]) if name in labels]
        found.update(names)
        if names:
            known[place], positive[place] = True, labels[names[0]]
    if left := {name for name in labels.keys() - found if not ("." in name and UID_PATTERN.fullmatch(name))}:
        for place, accession in _accessions(images, np.flatnonzero(~known).tolist(), spool):
            if accession in left:
                found.add(accession)
                known[place], positive[place] = True, labels[accession]
    return Truth(known, positive, tuple(name for name in labels if name not in found))


def _accessions(images: Images, places: Iterable[int], spool: Spool) -> Iterable[tuple[int, str]]:
    """The accession number of each of these images, from the first film of its study that can be opened."""
    by_study: dict[int, str] = {}
    for place in places:
        study = int(images.study[place])
        if not by_study.get(study):
            with suppress(Unreadable):
                path = spool.image(images.keys[place].decode())
                by_study[study] = text(parsed(path, pixels=False, keywords=["AccessionNumber"]), "AccessionNumber")
        yield place, by_study.get(study, "")
