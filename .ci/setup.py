"""Set up .venv for one purpose (demo, lint or test) and, for the tests, the programs that judge our work.

The second time nothing is left to do and it says nothing. PIP_* variables reach pip as usual: one that names an index
of CPU builds of PyTorch (its address holds "/cpu") makes the environment 4 GB smaller, and less disk is asked for.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOG = VENV / "setup.log"
STAMP = VENV / "installed.json"
POLICY = Path("/usr/sbin/policy-rc.d")  # Debian asks it before a package's service is started

DEVELOPMENT = frozenset({"demo", "parquet", "train", "dev"})
EXTRAS = {"demo": frozenset({"demo"}), "lint": DEVELOPMENT, "test": DEVELOPMENT}
PEERS = {  # Debian package: the program or file that shows it is there
    "chromium": "chromium",
    "curl": "curl",
    "default-jre-headless": "java",
    "dcmtk": "storescu",
    "debootstrap": "debootstrap",
    "dicom3tools": "dciodvfy",
    "iproute2": "ip",
    "libpixelmed-java": "/usr/share/java/pixelmed.jar",
    "nginx-light": "nginx",
    "npm": "npm",
    "openssl": "openssl",
    "orthanc": "Orthanc",
    "orthanc-dicomweb": "/usr/share/orthanc/plugins/libOrthancDicomWeb.so",
    "postgresql": "/usr/lib/postgresql/*/bin/initdb",  # not on PATH: Debian keeps the programs of each version apart
    "prometheus": "promtool",
    "redis-server": "redis-server",
}

NEEDED_GB, NEEDED_CPU_GB = 9.5, 3.0  # measured: .venv takes 6.6 GB, and pip holds 2.6 GB beside it meanwhile
CACHE_GB = 3.0  # what pip's cache takes, where there is room, so that the next clone downloads nothing
NO_NETWORK = (
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|ConnectionError|"
    r"Network is unreachable|Could not resolve|Temporary failure|Failed to fetch"
)
FAULTS = (  # what the log of pip or apt-get says, and what it means
    (r"No space left on device|Disk quota exceeded", "the disk is full"),
    (r"CERTIFICATE_VERIFY_FAILED", "the package index's TLS certificate is not trusted here (see PIP_CERT)"),
    (NO_NETWORK, "no network: the package index does not answer"),
)


class SetupFailedError(Exception):
    """One line for the person at the terminal."""


def main() -> int:
    """Set up for the purpose named on the command line; 0 when it can be used."""
    purpose = sys.argv[1] if len(sys.argv) == 2 and sys.argv[1] in EXTRAS else None
    if purpose is None:
        print(f"usage: .ci/setup {'|'.join(EXTRAS)}", file=sys.stderr)
        return 2
    try:
        install_packages(EXTRAS[purpose])
        if purpose == "test":
            install_peers()
    except SetupFailedError as fault:
        print(f"set-up failed: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up interrupted; the next one goes on from here", file=sys.stderr)
        return 130
    return 0


def install_packages(extras: frozenset[str]) -> None:
    """Bring .venv to what pyproject.toml and constraints.txt say, with these extras and those it has already."""
    stamp = json.loads(STAMP.read_text()) if STAMP.is_file() else {}
    there = frozenset(stamp.get("extras", ()))
    wanted: dict[str, str | list[str]] = {"root": str(ROOT), "digest": digest(), "extras": sorted(extras | there)}
    if stamp == wanted:
        return
    options = disk_options()
    STAMP.unlink(missing_ok=True)
    make_venv(clear=stamp.get("root", str(ROOT)) != str(ROOT))
    downloads = VENV / "downloads"
    downloads.mkdir(exist_ok=True)
    pip: list[str | Path] = [PYTHON, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *options]
    project = f".[{','.join(sorted(extras | there))}]"
    try:
        follow("packages", [*pip, "-c", "constraints.txt", "-e", project], TMPDIR=str(downloads))
    finally:
        shutil.rmtree(downloads, ignore_errors=True)
    STAMP.write_text(json.dumps(wanted))


def digest() -> str:
    """Changes when the environment must: with the dependencies, their pins, or the version."""
    files = ("pyproject.toml", "constraints.txt", "cxrnode/__init__.py")
    return hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in files)).hexdigest()


def make_venv(*, clear: bool) -> None:
    """Make or repair .venv; on Debian the module for it may have to be installed first."""
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        if not can_install():
            raise SetupFailedError(
                f"{sys.executable} cannot make virtual environments; as root: apt-get install {package}"
            )
        apt_install([package])
    if clear:
        shutil.rmtree(VENV)
    VENV.mkdir(exist_ok=True)
    follow("environment", [sys.executable, "-m", "venv", VENV])


def disk_options() -> list[str]:
    """Fail before a long download rather than after it; pip's options for the room there is."""
    if list(VENV.glob("lib/python*/site-packages/torch")):
        return []
    cpu = any("/cpu" in os.environ.get(name, "") for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"))
    needed = NEEDED_CPU_GB if cpu else NEEDED_GB
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < needed:
        raise SetupFailedError(f"{free:.1f} GB are free where {ROOT} lies; wanted {needed:.1f} GB")
    print("Setting up .venv. This first time takes minutes: PyTorch and its libraries are large.", flush=True)
    return [] if free > needed + CACHE_GB else ["--no-cache-dir"]


def install_peers() -> None:
    """Install the programs that the tests want as peers and judges; without root, say which are missing."""
    missing, fault = missing_peers(), ""
    if missing and can_install():
        try:
            apt_install(missing)
        except SetupFailedError as error:
            fault = f" ({error})"
        missing = missing_peers()
    if not missing:
        return
    message = f"not installed: {' '.join(missing)}{fault}. As root: apt-get install {' '.join(missing)}"
    if os.environ.get("CI") == "true":
        raise SetupFailedError(message)
    print(f"{message}\nUntil then the tests that need them are skipped, each with its reason.", flush=True)


def missing_peers() -> list[str]:
    """The Debian packages whose program or file is not on this machine."""
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    return [
        name
        for name, proof in PEERS.items()
        if not (shutil.which(proof, path=path) or any(Path("/").glob(proof.lstrip("/"))))
    ]


def can_install() -> bool:
    """Whether Debian packages can be installed here."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(packages: list[str]) -> None:
    """Install Debian packages without starting, stopping or restarting any service."""
    VENV.mkdir(exist_ok=True)
    apt = ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=120"]
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
    with services_left_alone():
        follow("package lists", [*apt, "update"], **quiet)
        follow(" ".join(packages), [*apt, "install", "--yes", "--no-install-recommends", *packages], **quiet)


@contextlib.contextmanager
def services_left_alone() -> Iterator[None]:
    """While this lasts, a package that brings a service may not start it (Debian's policy-rc.d answers 101)."""
    if POLICY.exists():
        answer = subprocess.run([POLICY, "redis-server", "start"], check=False, capture_output=True).returncode
        if answer != 101:
            raise SetupFailedError(f"{POLICY} answers {answer} (wanted 101): packages would start their services")
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def follow(what: str, command: list[str | Path], **environment: str) -> None:
    """Run a command with its output in the log, and keep the person told where it is."""
    began = shown = time.monotonic()
    terminal = sys.stdout.isatty()
    with LOG.open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | environment
        )
        while process.poll() is None:
            time.sleep(0.2)
            now = time.monotonic()
            if now - shown > (0.5 if terminal else 20):
                shown = now
                line = f"  {what}: {now - began:.0f} s, {stage(LOG.read_text(errors='replace'))}"
                print(f"\r\033[K{line[:100]}" if terminal else line, end="" if terminal else "\n", flush=True)
    if terminal:
        print("\r\033[K", end="")
    if process.returncode:
        raise SetupFailedError(f"{what}: {meaning(LOG.read_text(errors='replace'))} (all of it: {LOG})")
    print(f"  {what}: done in {time.monotonic() - began:.0f} s", flush=True)


def stage(log: str) -> str:
    """Where pip or apt-get is, from its log so far."""
    if "Installing collected packages" in log:
        return "installing"
    large = re.findall(r"^ *Downloading (\S+?)-[0-9]\S* \((.+)\)$", log, re.MULTILINE)
    if large:
        name, size = large[-1]
        return f"{len(large)} downloaded, now {name.rsplit('/', 1)[-1]} ({size})"
    return (log.strip().splitlines() or ["begun"])[-1].strip()


def meaning(log: str) -> str:
    """What went wrong, as a person would say it."""
    for pattern, words in FAULTS:
        if re.search(pattern, log):
            return words
    errors = [line.strip() for line in log.splitlines() if re.match(r"(ERROR|E|Error): ", line.strip())]
    return errors[-1] if errors else "failed for a reason not known to set-up"


if __name__ == "__main__":
    sys.exit(main())
