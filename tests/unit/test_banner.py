"""The banner in every language: nothing cut off, no empty box for a letter, the English notice always there."""

import re
import string
import tomllib
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cxrnode.errors import SettingsError
from cxrnode.finding import Outcome, Reading
from cxrnode.results.banner import SMALL, banner_for
from cxrnode.results.overlay import draw, frame_for
from cxrnode.results.pen import NOMINAL, Pen, font, wrapped
from cxrnode.results.words import NOTICE, OUTCOMES
from cxrnode.settings import Settings, language, load
from cxrnode.settings.language import Words, languages, load_words
from tests.builders import make_cxr
from tests.fakes import ALGORITHM
from tests.house.rooms import ROOT
from tests.readings import analysed, astray, radiograph_of, with_regions

SOURCE = make_cxr()
AGE = "PatientAge (0010,1010) is absent; the model was trained on ages 1 to 5 years."


@dataclass(frozen=True)
class Line:
    """One line as it was written: its box in pixels (left, upper, right, lower) and the size of its letters."""

    words: str
    box: tuple[float, float, float, float]
    size: float


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """What the banners say while a test runs, in order; the numbers of regions, on the picture, are left out."""
    seen: list[Line] = []
    text = Pen.text

    def told(pen: Pen, *given: Any, **more: Any) -> None:
        with monkeypatch.context() as inner:
            inner.setattr(
                pen,
                "put",
                lambda at, words, file, high, _colour: seen.append(
                    Line(words, pen.drawing.textbbox(at, words, font=font(file, high), anchor="ls"), high)
                ),
            )
            text(pen, *given, **more)

    monkeypatch.setattr(Pen, "text", told)
    return seen


READINGS: dict[str, Reading] = {
    "positive": with_regions(analysed(SOURCE, 0.9, (AGE,)), SOURCE),
    "negative": analysed(SOURCE, 1e-9, (AGE,)),
    "positive astray": astray(SOURCE),
    "positive without a map": analysed(SOURCE, 1.0, peak=0.0),
}


def test_the_languages_wanted_are_there_and_english_is_what_the_other_rooms_say() -> None:
    assert {"en", "de", "fr", "es", "it", "nl", "pt", "pl", "ja"} <= set(languages())
    english = load_words("en")
    assert (english.notice, english.positive) == (NOTICE, OUTCOMES[Outcome.POSITIVE])


@pytest.mark.parametrize("code", languages())
def test_what_is_filled_into_a_sentence_is_the_same_in_every_language(code: str) -> None:
    english, other = (load_words(one).model_dump() for one in ("en", code))

    assert {key: places(text) for key, text in other.items()} == {key: places(text) for key, text in english.items()}


@pytest.mark.parametrize("code", languages())
@pytest.mark.parametrize("weight", ["regular", "bold"])
def test_every_character_has_a_glyph(code: str, weight: str) -> None:
    words = load_words(code).model_dump()
    letters = font(words[weight], 40.0)

    def drawn_as(character: str) -> bytes:
        return bytes(letters.getmask(character)) + str(letters.getbbox(character)).encode()

    wanted = {character for text in words.values() for character in text} | set(string.printable[:94])
    missing = drawn_as("\ue000")  # of private use
    assert {character for character in wanted - {" "} if drawn_as(character) == missing} == set()
    assert drawn_as("\ue001") == missing, "what has no glyph is told by its picture"


@pytest.mark.parametrize("code", languages())
@pytest.mark.parametrize("side", [256, 1280])
@pytest.mark.parametrize("kind", READINGS)
def test_no_line_runs_over_an_edge_or_into_another(code: str, side: int, kind: str, lines: list[Line]) -> None:
    picture, top, bottom = drawn(READINGS[kind], load_words(code), side)
    height, width, _ = picture.shape

    assert len(lines) >= 5
    for line in lines:
        left, upper, right, lower = line.box
        assert left >= 0, line
        assert right <= width, line
        assert (upper >= 0 and lower <= top) or (height - bottom <= upper and lower <= height), line
    assert [(one.words, two.words) for one, two in combinations(lines, 2) if overlap(one.box, two.box)] == []


@pytest.mark.parametrize("code", languages())
def test_no_line_must_shrink_until_it_cannot_be_read(code: str, lines: list[Line]) -> None:
    picture, _, _ = drawn(READINGS["positive"], load_words(code), 1280)

    smallest = 0.8 * SMALL * picture.shape[1] / NOMINAL
    assert [line for line in lines if line.size < smallest] == []


@pytest.mark.parametrize("code", [code for code in languages() if code != "en"])
def test_the_notice_stands_in_english_below_the_reader_s_own(code: str, lines: list[Line]) -> None:
    drawn(READINGS["negative"], load_words(code), 1280)

    assert [line.words for line in lines[-2:]] == [load_words(code).notice, NOTICE]
    assert lines[-1].box[1] > lines[-2].box[3] - 2


def test_japanese_is_broken_between_characters_but_not_before_a_closing_mark() -> None:
    words = load_words("ja")

    for room in range(60, 400, 7):
        lines = wrapped(words.below + words.more, words.regular, SMALL, room)
        assert "".join(lines) == words.below + words.more
        assert [line for line in lines if line[0] in "\u3001\u3002\uff09\uff1a"] == []
        assert [line for line in lines[:-1] if font(words.regular, SMALL).getlength(line) > room + SMALL] == []


def test_a_language_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text('[results]\nlanguage = "xx"\n', encoding="utf-8")

    with pytest.raises(SettingsError, match=r"results\.language = 'xx'.*wanted one of de, en, es"):
        load(path)
    with pytest.raises(SettingsError, match=r"'xx' is not there; wanted one of de, en, es"):
        load_words("xx")


def test_a_file_that_lacks_a_word_or_has_one_too_many_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "cxrnode/results/languages/en.toml").read_text(encoding="utf-8")
    (tmp_path / "zz.toml").write_text(text.replace("half =", "haIf ="), encoding="utf-8")
    monkeypatch.setattr(language, "FILES", tmp_path)

    with pytest.raises(SettingsError, match=r"(?s)2 faults in .*zz\.toml.*half.*haIf"):
        load_words("zz")


def test_another_language_gives_other_uids() -> None:
    digests = {Settings(results={"language": code}).result_digest for code in languages()}  # type: ignore[arg-type]

    assert len(digests) == len(languages())


def test_the_example_names_every_language() -> None:
    text = (ROOT / "config" / "node.example.toml").read_text(encoding="utf-8")
    above = text[: text.index('\nlanguage = "en"')].rpartition("# Language of")[2]

    assert sorted(re.findall(r'"([a-z]{2})"', above)) == languages()
    assert tomllib.loads(text)["results"]["language"] == "en"


def overlap(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    """By more than the one pixel that rounding may cost."""
    return max(one[0], two[0]) < min(one[2], two[2]) - 1 and max(one[1], two[1]) < min(one[3], two[3]) - 1


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def drawn(reading: Reading, words: Words, side: int) -> tuple[NDArray[np.uint8], int, int]:
    """The picture, and how high its banners are in its pixels."""
    shape = (300, 280)
    picture = draw(radiograph_of(*shape), reading, ALGORITHM, side, words=words)
    banner = banner_for(reading, ALGORITHM, words, shown=bool(reading.finding and reading.finding.localised))
    frame = frame_for(shape, banner, side)
    return picture, frame.top, picture.shape[0] - frame.top - frame.rows
