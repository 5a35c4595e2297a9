"""age: what the header says, in every unit, and the sentence that warns."""

import pytest
from pydicom import Dataset

from cxrnode.finding import Algorithm
from cxrnode.headers.age import age_remark, patient_age

CHILDREN = Algorithm("model", "1", "digest", "1.2.3", "weights", 0.5, 0.7, "children", (1, 5))
TRAINED = "; the model was trained on children of 1 to 5 years"


def header(age: str = "", born: str = "", seen: str = "20260610") -> Dataset:
    dataset = Dataset()
    dataset.add_new(0x00101010, "LO", age)  # LO: any text passes into the data set
    dataset.add_new(0x00100030, "LO", born)
    dataset.add_new(0x00080020, "LO", seen)
    return dataset


@pytest.mark.parametrize(
    ("stated", "years", "words"),
    [
        ("004Y", 4, "4 years"),
        ("4Y", 4, "4 years"),
        ("001y", 1, "1 year"),
        ("011M", 0, "11 months"),
        ("012M", 1, "12 months"),
        ("072M", 6, "72 months"),
        ("052W", 0, "52 weeks"),
        ("053W", 1, "53 weeks"),
        ("001D", 0, "1 day"),
        ("366D", 1, "366 days"),
    ],
)
def test_an_age_is_read_in_its_own_unit(stated: str, years: int, words: str) -> None:
    age = patient_age(header(stated, born="19000101"))

    assert age is not None
    assert (age.years, age.words) == (years, words)


@pytest.mark.parametrize(
    ("born", "seen", "words"),
    [
        ("20220610", "20260610", "4 years"),
        ("20220611", "20260610", "3 years"),
        ("2022.06.10", "2026.06.10", "4 years"),
        ("20240229", "20260228", "1 year"),
        ("20260601", "20260610", "9 days"),
        ("20260610", "20260610", "0 days"),
    ],
)
def test_without_a_stated_age_the_birth_date_and_the_study_tell(born: str, seen: str, words: str) -> None:
    age = patient_age(header(born=born, seen=seen))

    assert age is not None
    assert age.words == words


@pytest.mark.parametrize(
    ("age", "born", "seen"),
    [
        ("", "", "20260610"),
        ("62", "", "20260610"),
        ("abc", "19999999", "20260610"),
        ("", "20270101", "20260610"),
        ("", "18000101", "20260610"),
        ("", "20220610", ""),
        ("999Y", "", "20260610"),
        ("", "2022", "20260610"),
    ],
)
def test_what_is_no_age_counts_as_not_given(age: str, born: str, seen: str) -> None:
    assert patient_age(header(age, born, seen)) is None


@pytest.mark.parametrize("stated", ["001Y", "012M", "005Y", "071M"])
def test_within_the_models_ages_there_is_no_remark(stated: str) -> None:
    assert age_remark(header(stated), CHILDREN) == ""


@pytest.mark.parametrize(
    ("dataset", "remark"),
    [
        (header("064Y"), "Patient is 64 years old" + TRAINED),
        (header("003M"), "Patient is 3 months old" + TRAINED),
        (header("006Y"), "Patient is 6 years old" + TRAINED),
        (header(), "Patient's age is not given" + TRAINED),
        (
            header("62"),
            "Patient's age is not given (PatientAge (0010,1010) is 62; wanted a number and D, W, M or Y)" + TRAINED,
        ),
    ],
)
def test_outside_the_models_ages_or_without_one_the_remark_says_so(dataset: Dataset, remark: str) -> None:
    assert age_remark(dataset, CHILDREN) == remark


def test_an_unusable_stated_age_gives_way_to_the_birth_date() -> None:
    assert age_remark(header("62", born="20220101"), CHILDREN) == ""


def test_a_remark_never_shows_the_birth_date() -> None:
    assert "19611" not in age_remark(header(born="19611105"), CHILDREN)
