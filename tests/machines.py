"""A machine to type at: this one's root below an overlay, with a network, processes and services of its own.

What is installed there stays there; nothing that is typed touches this machine. Wants root, overlayfs and namespaces.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house.rooms import ROOT

BASE = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "COLUMNS": "160",
}
CHECKOUT = ("cxrnode", "models", "workers", "config", "pyproject.toml", "constraints.txt", "README.md", "LICENSE")
STANDS_IN = """\
apt-get() { :; }
git() { test "$1" != clone || cp --archive /checkout "$3"; }
python3() {
  "$PYTHON" "$@" && for folder in "$3"/lib/python3.*/site-packages; do
    echo "import sys; sys.path.insert(0, '/packages')" > "$folder/tests.pth"
  done
}
export PIP_NO_DEPS=1 PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=0
"""
"""What is not done as typed: packages are here already, a clone is a copy of this checkout, and pip takes the project
itself alone, with the libraries of the tests. systemctl and journalctl are tests/systemd.py. Nothing else."""
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Block:
    """Commands of a page, and what is to be seen; kinds: "again" until it is seen, "fails", "else" if it must be."""

    section: str
    kind: str
    commands: str
    seen: tuple[str, ...]


def blocks(page: str) -> list[Block]:
    """What a page says to type, in order; `sh` blocks, each with the `text` block that follows it."""
    found: list[Block] = []
    section = ""
    for heading, kind, content in re.findall(
        r"^## ([^\n]*)$|^```(\w[\w ]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    ):
        if heading:
            section = heading
        elif kind == "text":
            last = found.pop()
            found.append(Block(last.section, last.kind, last.commands, tuple(content.splitlines())))
        else:
            found.append(Block(section, kind.removeprefix("sh").strip(), content, ()))
    return found


def missing(seen: tuple[str, ...], printed: str) -> str:
    """The first line that was to be seen after those before it, and was not; empty: all were. `...` is anything."""
    lines = iter(printed.splitlines())
    for wanted in seen:
        words = r"\s*".join(map(re.escape, wanted.split()))
        pattern = re.compile(words.replace(r"\.\.\.", ".*"))
        if not any(pattern.search(line) for line in lines):
            return wanted
    return ""


class Machine:
    """A shell on it."""

    def __init__(self, shell: subprocess.Popen[str]) -> None:
        self._shell, self._number = shell, 0
        self.type(STANDS_IN)

    def type(self, commands: str) -> tuple[int, str]:
        """Type, and wait for the prompt: the last status that was not 0, and what was printed."""
        self._number += 1
        end = f"-- typed {self._number}:"
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        told = f"trap - ERR; echo; echo '{end}' $failed"
        self._shell.stdin.write(f"failed=0; trap 'failed=$?' ERR; eval {shlex.quote(commands)} </dev/null; {told}\n")
        self._shell.stdin.flush()
        hangs = threading.Timer(PATIENCE_S, self._shell.kill)
        hangs.start()
        printed: list[str] = []
        try:
            for came in self._shell.stdout:
                if came.startswith(end):
                    return int(came.removeprefix(end)), "".join(printed)
                printed.append(came)
        finally:
            hangs.cancel()
        raise AssertionError(f"no prompt after\n{commands}\n{''.join(printed)[-4000:]}")


@contextmanager
def running_machine() -> Iterator[Machine]:
    """One that is gone afterwards, with all that runs there; skips where there can be none."""
    if os.geteuid():
        pytest.skip("a machine of its own wants root")
    folder = Path(tempfile.mkdtemp(prefix="cxrnode-machine-", dir="/var/tmp"))  # a disk, and no overlay
    try:
        for name in ("upper", "work", "top"):
            (folder / name).mkdir()
        _fill(folder / "upper")
        words = ["unshare", "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "private"]
        tried = subprocess.run([*words, "sh", "-ec", _mounts(folder)], capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"the kernel gives no machine of its own here: {tried.stderr.strip()[-200:]}")
        told = shlex.join(f"{key}={value}" for key, value in (BASE | {"PYTHON": str(_python())}).items())
        script = f"{_mounts(folder)}\nexec chroot {folder / 'top'} env -i {told} bash --norc"
        shell = subprocess.Popen(
            [*words, "sh", "-ec", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        with shell:
            try:
                yield Machine(shell)
            finally:
                shell.kill()
    finally:
        shutil.rmtree(folder)


def _fill(upper: Path) -> None:
    """What is there beyond this machine's own: a checkout, and what stands in for systemd."""
    (upper / "checkout").mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    for name in CHECKOUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, upper / "checkout" / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, upper / "checkout" / name)
    programs = upper / "usr" / "local" / "bin"
    programs.mkdir(parents=True)
    for part in (upper / "usr", upper / "usr" / "local", programs):
        part.chmod(0o755)
    for name in ("systemctl", "journalctl"):
        shutil.copy(ROOT / "tests" / "systemd.py", programs / name)
        (programs / name).chmod(0o755)


def _python() -> Path:
    """The interpreter below the tests' own environment."""
    return Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"


def _mounts(folder: Path) -> str:
    """Shell commands that make its root, at folder/top; its accounts may come to the tests' interpreter."""
    top, packages = folder / "top", next(Path(sys.prefix).glob("lib/python3.*/site-packages"))
    base = Path(sys.base_prefix)
    way = [f"chmod o+x {top}{parent}" for parent in (base, *base.parents)[:-1]]
    below = [] if base == Path("/usr") else [f"mkdir -p {top}{base}", *way, f"mount --rbind {base} {top}{base}"]
    return "\n".join(
        (
            f"mount -t overlay overlay -o lowerdir=/,upperdir={folder}/upper,workdir={folder}/work {top}",
            f"mkdir -p {top}/packages && mount --rbind {packages} {top}/packages",
            *below,
            f"mount -t proc proc {top}/proc && mount --rbind /dev {top}/dev && mount -t sysfs sysfs {top}/sys",
            *(f"mount -t tmpfs tmpfs {top}/{name}" for name in ("run", "tmp")),
            "ip link set lo up",
        )
    )
