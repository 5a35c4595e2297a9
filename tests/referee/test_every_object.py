"""Every family of result of every outcome, header and character set before judges that are not ours: no error.

At the end of the run the table says how many objects each judge saw, and why each warning was let pass.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from cxrnode.family import Family
from cxrnode.finding import Outcome
from cxrnode.results.encode import encode
from cxrnode.results.keyobjects import build_rejection
from cxrnode.results.make import Made
from tests.builders import make_cxr
from tests.characters import EDGES, NAMES, named, with_private_elements
from tests.readings import STARTED_AT, analysed, outlined, with_regions
from tests.referee import table
from tests.referee.judges import dcentvfy, excused, judges, objections
from tests.studies import STUDIES, ReadStudy, one


def privately() -> ReadStudy:
    source = with_private_elements(make_cxr())
    assert isinstance(source, FileDataset)
    return ReadStudy((source,), (outlined(source),))


CASES: dict[str, Callable[[], ReadStudy]] = {
    **STUDIES,
    **{f"a name in {name}": lambda name=name: one(**named(name)) for name in NAMES},
    **{edge: lambda edge=edge: one(**EDGES[edge]) for edge in EDGES if "longer" not in edge},
    "private elements": privately,
    "inverted greys": lambda: one(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"),
}
"""What is longer than the standard allows goes back as it came, so that the archive files it; no judge can like it."""

SAME_CONTENT = {name for name in CASES if name not in STUDIES}
"""Other headers over the same content: PixelMed, which takes seconds over a content tree, has judged it already."""
WANTED = 60
ORDERS = list(Outcome)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # on the odd values that some sources have
Record = Callable[[str, object], None]


def judge(made: Made, path: Path, record: Record, name: str) -> list[str]:
    """Write the object, let every judge of its kind look at it, and return what they object to."""
    path.write_bytes(encode(made.dataset))
    outcome = min(made.outcomes, key=ORDERS.index)
    found: list[str] = []
    for who, look in judges(made.dataset, templates=name not in SAME_CONTENT):
        lines = look(path)
        faults = objections(who, lines)
        found += [f"{who}, {made.family}: {fault}" for fault in faults]
        line = (made.family.value, outcome.value, f"{name} {path.name}", who, len(faults), dict(excused(who, lines)))
        record(table.PROPERTY, line)
    return found


@pytest.mark.parametrize("name", CASES)
def test_no_judge_finds_an_error_in_any_object_of_a_study(name: str, tmp_path: Path, record_property: Record) -> None:
    study = CASES[name]()
    objects = study.made()
    paths = [tmp_path / f"{number}.dcm" for number in range(len(objects))]

    found = [
        fault for made, path in zip(objects, paths, strict=True) for fault in judge(made, path, record_property, name)
    ]

    assert found == []
    assert objections("dcentvfy", dcentvfy([*study.write_sources(tmp_path), *paths])) == []


def test_every_family_of_every_outcome_is_judged_and_more_than_sixty_objects() -> None:
    judged = [made for study in CASES.values() for made in study().made()]

    assert len(judged) >= WANTED
    assert {made.family for made in judged} == set(Family)
    assert {outcome for made in judged for outcome in made.outcomes} == set(Outcome) - {Outcome.NOT_APPLICABLE}


@pytest.mark.parametrize("name", ["positive", "Japanese", "a bare header"])
def test_no_judge_finds_an_error_in_a_rejection_note(name: str, tmp_path: Path, record_property: Record) -> None:
    rejected = [made.dataset for made in CASES[name]().made()]
    uids = {"uid": "2.25.123456", "series_uid": "2.25.1234567"}
    note = build_rejection(rejected[0], rejected, "The model was found to be wrong.", **uids, now=STARTED_AT)

    path = tmp_path / "note.dcm"
    made = Made(Family.KEY_OBJECTS, frozenset({Outcome.POSITIVE}), note)

    assert judge(made, path, record_property, f"rejection of {name}") == []


def test_no_judge_finds_an_error_in_results_of_real_films(
    shared_data: Path, tmp_path: Path, record_property: Record
) -> None:
    films = sorted(path for path in (shared_data / "dicom" / "chest").iterdir() if path.is_file())
    assert films
    for film in films:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # real headers have values that pydicom remarks on
            source = dcmread(film)
            shape = None if source.get("Rows") else (256, 240)  # two films are headers alone
            objects = ReadStudy((source,), (with_regions(analysed(source), source, shape),)).made()
        for made in objects:
            assert judge(made, tmp_path / "result.dcm", record_property, film.name) == [], film.name
