"""The overlay's words in the language of the settings: one TOML file a language, found by its name."""

import tomllib
from functools import cache
from importlib import resources

from pydantic import ValidationError

from cxrnode.errors import SettingsError
from cxrnode.faults import faults_in
from cxrnode.settings.part import Part

FILES = resources.files("cxrnode") / "results" / "languages"


class Words(Part):
    """What the banner says; what stands in braces is filled in when it is drawn. Read by `load_words`."""

    regular: str
    """the font's file; it has a glyph for every character below and for ASCII, in which warnings and figures come"""
    bold: str
    positive: str
    negative: str
    probability: str
    operating_point: str
    looked: str
    half: str
    below: str
    hidden: str
    empty: str
    model: str
    card: str
    """which prevalence the probability holds for, when it is that of the model's card"""
    site: str
    """likewise, when this site has set it"""
    warning: str
    more: str
    notice: str


def languages() -> list[str]:
    """The codes of the languages there are (ISO 639-1)."""
    return sorted(file.name.removesuffix(".toml") for file in FILES.iterdir() if file.name.endswith(".toml"))


@cache
def load_words(language: str) -> Words:
    """The words of a language; raises SettingsError for one that is not there, and for a file that lacks a word."""
    if language not in languages():
        raise SettingsError(f"results.language = {language!r} is not there; wanted one of {', '.join(languages())}")
    file = FILES / f"{language}.toml"
    try:
        return Words(**tomllib.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise SettingsError(faults_in(str(file), error)) from error
