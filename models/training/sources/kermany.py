"""The folders that Kermany and others published (Mendeley Data rscbjbr9sj): class by folder, patient by name.

A pneumonia's patient is its person number, whatever the subtype; a normal's is its IM number, with NORMAL2- or without.
That is conservative: numbers may recur by chance, and films of one patient under two numbers nobody can find.
"""

import re
from pathlib import Path

from cxrnode.errors import TrainingError
from models.training.recipe import KERMANY_CLASSES, Films
from models.training.sources.listed import Listed, Listing

PARTS = ("train", "val", "test")
SUFFIXES = (".jpeg", ".jpg", ".png")
NAMES = (
    re.compile(r"(?P<who>person)(?P<number>\d+)_(?P<subtype>bacteria|virus)_\d+(_\d+)?"),
    re.compile(r"(NORMAL2-)?(?P<who>IM)-(?P<number>\d+)-\d+(-\d+)?"),
    re.compile(r"(?P<subtype>NORMAL|BACTERIA|VIRUS)-(?P<number>\d+)-\d+"),  # the publisher's third version
)


def list_kermany(data_dir: Path, wanted: Films) -> Listing:
    """Every film of train, val and test, by name; raises TrainingError when that is not what the folder holds.

    The val folder of 16 films is no split and counts as train; test is kept as it is when `published_test` says so.
    """
    folder = data_dir / wanted.folder
    films = [
        Listed(
            file=path.relative_to(data_dir).as_posix(),
            path=path,
            label=int(name == wanted.positive_class),
            patient=patient_of(path),
            split="test" if part == "test" and wanted.published_test else "",
            subtype=_subtype_of(path),
        )
        for part in PARTS
        for name in KERMANY_CLASSES
        for path in sorted((folder / part / name).glob("*"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    for name in KERMANY_CLASSES:
        if not any(film.path.parent.name == name for film in films):
            raise TrainingError(f"{folder} holds no {name} film; wanted {{train,val,test}}/{name}/*.jpeg")
    if wanted.published_test and not any(film.split for film in films):
        raise TrainingError(f"{folder / 'test'} holds no film; wanted the published test films, or no published_test")
    return Listing(tuple(films))


def patient_of(path: Path) -> str:
    """`person17`, `im0115` or, in the publisher's third version, `patient1049278`; raises TrainingError."""
    found = _named(path)
    return f"{(found.groupdict().get('who') or 'patient').lower()}{found['number']}"


def _subtype_of(path: Path) -> str:
    return (_named(path).groupdict().get("subtype") or "").lower().replace("normal", "")


def _named(path: Path) -> re.Match[str]:
    for form in NAMES:
        found = form.fullmatch(path.stem)
        if found:
            return found
    raise TrainingError(
        f"{path.name} is no name that tells a patient; wanted person1_bacteria_1, IM-0001-0001 or NORMAL2-IM-0001-0001"
    )
