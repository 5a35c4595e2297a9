"""The steps of docker/Dockerfile, done without Docker: a chroot of Debian, a layer a stage (overlayfs)."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

DEBIAN = re.compile(r"debian:(\w+)-slim")
BASE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}


@dataclass
class Stage:
    """One FROM with what follows it, in order: instruction and the rest of its line."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        """What the last step of this kind says; empty where there is none."""
        return next((rest for kind, rest in reversed(self.steps) if kind == instruction), "")


def stages(dockerfile: Path) -> dict[str, Stage]:
    """The stages of a Dockerfile by name; raises ValueError for what is not understood here."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found: dict[str, Stage] = {}
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        kind, _, rest = line.partition(" ")
        if kind == "FROM":
            base, word, name = rest.split()
            if word != "AS":
                raise ValueError(f"{line!r}: a stage without a name")
            found[name] = Stage(name, base)
        else:
            list(found.values())[-1].steps.append((kind, rest.strip()))
    return found


class Build:
    """A build in a folder: `debian` with the base, `<stage>` with what each stage has added. Wants root."""

    def __init__(self, folder: Path, dockerfile: Path, context: Path, packages: Path) -> None:
        self.folder, self.context, self.packages = folder, context, packages
        self.offline = {
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PYTHONPATH": "/packages",
        }
        """So pip takes only the project itself; 0, as pip understands it, is that the build is not isolated."""
        self.stages = stages(dockerfile)
        self.done: set[str] = set()

    def debootstrap(self, suite: str) -> None:
        """The base image: what a slim Debian has, and no more."""
        command = ["debootstrap", "--variant=minbase", suite, str(self.folder / "debian")]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            pytest.skip(f"debootstrap cannot be run here: {ended.stdout.strip().splitlines()[-1:]}")
        shutil.copy("/etc/resolv.conf", self.folder / "debian" / "etc" / "resolv.conf")
        (self.folder / "debian" / "etc" / "dpkg" / "dpkg.cfg.d" / "quick").write_text("force-unsafe-io\n")
        for proxy in Path("/etc/apt/apt.conf.d").glob("*proxy*"):
            shutil.copy(proxy, self.folder / "debian" / "etc" / "apt" / "apt.conf.d")

    def build(self, name: str) -> None:
        """Do the steps of a stage, and of all that it is made of."""
        stage = self.stages[name]
        if stage.base in self.stages and stage.base not in self.done:
            self.build(stage.base)
        (self.folder / name).mkdir()
        known, where = dict[str, str](), self._where(stage.base)
        for kind, rest in stage.steps:
            if kind == "RUN":
                more = self.offline if "pip install" in rest else {}
                self.run(name, ["sh", "-c", rest], environment=known | more, where=where)
            elif kind == "ARG":
                key, _, value = rest.partition("=")
                known |= {key: value} if value else {}
            elif kind == "WORKDIR":
                where = rest
                self.run(name, ["mkdir", "-p", rest])
            elif kind == "COPY":
                self._copy(name, rest, where)
            elif kind not in {"ENV", "USER", "ENTRYPOINT", "CMD", "STOPSIGNAL"}:
                raise ValueError(f"{kind} is not understood here")
        self.done.add(name)

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        where: str = "/",
        mounts: Sequence[str] = (),
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a stage, with the packages of the tests at /packages; `mounts` are shell commands before."""
        top = self.folder / "top"
        passed = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}
        told = shlex.join(f"{key}={value}" for key, value in (passed | BASE | dict(environment or {})).items())
        script = [
            "umask 022",  # as everything that builds images has it
            *self._mounted(name, top),
            f"mkdir -p {top}/packages {top}/proc {top}/dev",
            f"mount --rbind {self.packages} {top}/packages && mount -o remount,bind,ro {top}/packages",
            f"mount -t proc proc {top}/proc && mount --rbind /dev {top}/dev",
            *(one.format(top=top) for one in mounts),
            f"exec chroot {top} env -i {told} sh -c {shlex.quote(f'cd {where} && exec {shlex.join(command)}')}",
        ]
        ended = subprocess.run(
            ["unshare", "--mount", "--ipc", "--propagation", "private", "sh", "-ec", "\n".join(script)],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if check and ended.returncode:
            raise AssertionError(f"{name}: {shlex.join(command)}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")
        return ended

    def _where(self, name: str) -> str:
        """The folder that a stage ends in."""
        stage = self.stages.get(name)
        return "/" if stage is None else stage.last("WORKDIR") or self._where(stage.base)

    def _copy(self, name: str, rest: str, where: str) -> None:
        *sources, target = rest.split()
        if not sources[0].startswith("--from="):
            into = self.folder / name / (where if target == "./" else f"{where}/{target}").lstrip("/")
            for source in sources:
                self._copy_from_context(self.context / source, into / source if target == "./" else into)
            return
        origin = sources[0].removeprefix("--from=")
        if origin not in self.done:
            self.build(origin)
        other, top = self.folder / "other", self.folder / "top"
        source = sources[1]
        script = [
            *self._mounted(origin, other),
            *self._mounted(name, top),
            f"mkdir -p $(dirname {top}{target}) && cp -a {other}{source} {top}{target}",
        ]
        unshared = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(script)]
        subprocess.run(unshared, check=True)

    @staticmethod
    def _copy_from_context(source: Path, into: Path) -> None:
        into.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, into, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(source, into)

    def _mounted(self, name: str, at: Path) -> Iterator[str]:
        """Shell commands that mount a stage: its own layer above those that it is made of."""
        below, stage = [], self.stages[name]
        while stage.base in self.stages:
            stage = self.stages[stage.base]
            below.append(str(self.folder / stage.name))
        lower = ":".join([*below, str(self.folder / "debian")])
        work = self.folder / f"{name}.work"
        yield f"mkdir -p {at} {work}"
        yield f"mount -t overlay overlay -o lowerdir={lower},upperdir={self.folder / name},workdir={work} {at}"


def entry_point(build: Build, name: str) -> list[str]:
    """What a container of this stage runs."""
    stage: Stage | None = build.stages[name]
    while stage is not None:
        if found := stage.last("ENTRYPOINT"):
            words: list[str] = json.loads(found)
            return words
        stage = build.stages.get(stage.base)
    raise AssertionError(f"{name} has no entry point")


def environment(build: Build, name: str) -> dict[str, str]:
    """What ENV says in a stage and in those that it is made of."""
    stage, told = build.stages[name], dict[str, str]()
    if stage.base in build.stages:
        told = environment(build, stage.base)
    for kind, rest in stage.steps:
        if kind == "ENV":
            told |= dict(word.split("=", 1) for word in shlex.split(rest))
    return told
