"""The changelog is that of this version, and speaks to the hospital first."""

import re

from cxrnode import __version__
from tests.house.rooms import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_newest_version_of_the_changelog_is_the_package_s() -> None:
    versions = re.findall(r"^## (\S+) - \d{4}-\d{2}-\d{2}$", CHANGELOG, flags=re.MULTILINE)

    assert versions[0] == __version__


def test_every_version_says_first_what_the_hospital_will_notice() -> None:
    _, *versions = re.split(r"^## .*$", CHANGELOG, flags=re.MULTILINE)

    assert [version.strip().partition("\n")[0] for version in versions] == ["### For the hospital"] * len(versions)
