"""The image's steps in a chroot of Debian: what comes out reads a film, as nobody, and writes its state alone."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrnode import __version__
from tests.builders import make_cxr
from tests.house.rooms import ROOT
from tests.images import DEBIAN, Build, entry_point, environment, stages
from tests.nodes import saved
from tests.peers import program

DOCKERFILE = ROOT / "docker" / "Dockerfile"
PACKAGES = next(Path(sys.prefix).glob("lib/python3.*/site-packages"))
NOBODY = ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]


def test_every_stage_ends_as_nobody_with_an_entry_point() -> None:
    found = stages(DOCKERFILE)

    assert {"node", "gpu"} <= set(found)
    assert list(found)[-1] == "node", "the last is built where no target is named"
    for name in ("node", "gpu"):
        running = found[found[name].base]
        assert running.last("USER") == "10001:10001"
        assert not found[name].last("USER")
        assert json.loads(running.last("ENTRYPOINT")) == ["/srv/cxrnode/venv/bin/cxrnode"]
    assert not any(kind == "ADD" for one in found.values() for kind, _ in one.steps)


@pytest.fixture(scope="module")
def build() -> Iterator[Build]:
    """The `node` image, as far as it can be made without its 200 MB of PyTorch: that is the tests' own."""
    for name in ("debootstrap", "setpriv", "unshare"):
        program(name)
    if os.geteuid():
        pytest.skip("a chroot wants root")
    folder = Path(tempfile.mkdtemp(prefix="cxrnode-image-", dir="/var/tmp"))  # a disk, and no overlay
    try:
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
            pytest.skip("the kernel gives no mount namespace here")
        made = Build(folder, DOCKERFILE, ROOT, PACKAGES)
        suite = DEBIAN.fullmatch(made.stages["system"].base)
        assert suite is not None
        if f"python3.{sys.version_info.minor}" != "python3.11" and suite[1] == "bookworm":
            pytest.skip("the image's Python is 3.11, and the packages here are of another")
        made.debootstrap(suite[1])
        made.build("source")
        made.run("source", ["sh", "-c", "echo /packages > /srv/cxrnode/venv/lib/python3.11/site-packages/tests.pth"])
        yield made
    finally:
        shutil.rmtree(folder)


def test_the_image_reads_a_film_as_nobody_and_writes_nothing_but_its_state(build: Build) -> None:
    """Red when a file that it wants is not copied, a library of Debian's is missing, or it writes elsewhere."""
    build.build("node")
    state = build.folder / "state"
    state.mkdir(mode=0o700)
    os.chown(state, 10001, 10001)
    saved(make_cxr(), state / "film.dcm").chmod(0o644)
    settings = "{top}/etc/cxrnode/node.toml"
    sealed = [
        f"touch {settings} && mount --bind {ROOT / 'docker' / 'node.toml'} {settings}",
        "mount -o remount,ro {top}",
        "mount -t tmpfs tmpfs {top}/tmp",
        f"mount --bind {state} {{top}}/var/lib/cxrnode",
    ]

    def run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        told = environment(build, "node") | {"OMP_NUM_THREADS": "1"}
        return build.run(
            "node", [*NOBODY, *words], environment=told, mounts=sealed, check=check, where="/var/lib/cxrnode"
        )

    cxrnode = entry_point(build, "node")
    assert run(*cxrnode, "--version").stdout == f"cxrnode {__version__}\n"
    assert "receive" in run(*cxrnode, "--help").stdout
    read = run("env", "CXRNODE_RULES__GATE=off", *cxrnode, "analyse", "film.dcm", "--json", check=False)
    assert read.returncode == 0, read.stdout[-2000:] + read.stderr[-2000:]
    assert '"outcome"' in read.stdout
    assert "pg_dump" in run("pg_dump", "--version").stdout
    assert run("id", "-u").stdout == "10001\n"
    assert run("touch", "/srv/cxrnode/venv/x", check=False).returncode
    assert run("python3", "-c", "import cxrnode; print(cxrnode.__file__)").stdout.startswith("/srv/cxrnode/venv/lib/")
