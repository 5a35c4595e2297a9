"""constraints.txt pins the whole environment, and the environment is the one it pins."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.house import pins
from tests.house.rooms import PACKAGES, ROOT, modules
from tests.house.test_walls import imports

LINES = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
PINNED = {line.partition("==")[0]: Version(line.partition("==")[2]) for line in LINES}


def test_a_pin_is_a_name_and_a_version_and_they_are_sorted() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    assert sorted(PINNED) == list(PINNED)


def test_everything_the_project_leads_to_is_pinned_at_the_version_installed() -> None:
    installed = {name: Version(version.public) for name, version in pins.closure().items()}

    assert {name: version for name, version in installed.items() if PINNED.get(name) != version} == {}


def test_what_only_the_python_of_debian_12_needs_is_pinned_too() -> None:
    assert "async-timeout" in PINNED  # redis and valkey want it below Python 3.11.3; Debian 12 has 3.11.2


def test_constraints_txt_is_what_make_constraints_would_write() -> None:
    assert list(pins.lines()) == LINES


def test_what_builds_the_wheel_is_pinned_alike() -> None:
    (line,) = tomllib.loads(pins.PYPROJECT.read_text(encoding="utf-8"))["build-system"]["requires"]
    need = Requirement(line)

    assert need.specifier == f"=={PINNED[canonicalize_name(need.name)]}"


def test_every_library_imported_is_named_in_pyproject_and_not_only_brought_along() -> None:
    named = {canonicalize_name(need.name) for need in pins.requirements()}
    tests = sorted((ROOT / "tests").rglob("*.py"))
    imported = {name.partition(".")[0] for path in (*modules().values(), *tests) for name in imports(path)}
    foreign = imported - sys.stdlib_module_names - {*PACKAGES, "tests"}
    distributions = packages_distributions()

    brought = {name: distributions.get(name, ["not installed"]) for name in foreign}
    unnamed = {name: by for name, by in brought.items() if not named & {canonicalize_name(one) for one in by}}
    assert unnamed == {}
