"""Print constraints.txt: every package that the project and its extras lead to, at the version installed here.

What only another Python or another build of torch needs is not installed here and keeps the pin it has.

python -m tests.house.pins > constraints.txt
"""

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
CONSTRAINTS = PYPROJECT.with_name("constraints.txt")
HEADER = """\
# Every package of the environment at one exact version. Made by `make constraints` from what is installed in .venv:
# to take a newer version, install it there, run `make test`, then `make constraints`.
"""


def requirements() -> list[Requirement]:
    """What pyproject.toml names: the dependencies, and those of every extra."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(line) for lines in (project["dependencies"], *extras) for line in lines]


def closure() -> dict[str, Version]:
    """Every package that the project needs, its dependencies' dependencies included, and the version installed."""
    versions: dict[str, Version] = {}
    todo = [(need, extra) for need in requirements() for extra in _extras(need)]
    done: set[tuple[str, str]] = set()
    while todo:
        need, extra = todo.pop()
        name = canonicalize_name(need.name)
        if (name, extra) in done:
            continue
        done.add((name, extra))
        found = distribution(name)
        versions[name] = Version(found.version)
        needs = [Requirement(line) for line in found.requires or []]
        wanted = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
        todo += [(need, extra) for need in wanted for extra in _extras(need)]
    return versions


def kept() -> dict[str, Version]:
    """The pins of constraints.txt for packages that are not installed here."""
    pins = [line.split("==") for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    return {name: Version(version) for name, version in pins if not _installed(name)}


def lines() -> Iterator[str]:
    """The pins, sorted, without local version labels such as +cpu."""
    for name, version in sorted((kept() | closure()).items()):
        yield f"{name}=={version.public}"


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _extras(need: Requirement) -> set[str]:
    return {"", *need.extras}


if __name__ == "__main__":
    sys.stdout.write(HEADER + "\n".join(lines()) + "\n")
