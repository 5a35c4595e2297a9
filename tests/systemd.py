#!/usr/bin/python3
"""What stands in for systemd where it is not pid 1: `systemctl` and `journalctl`, as far as INSTALL.md types them.

Installed under both names. It starts what the unit files say (ExecStart, User, EnvironmentFile, RuntimeDirectory), by
the account they name, and waits for nothing. What a unit forbids its service (ProtectSystem ...) is not held here.
"""

import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

UNITS = (Path("/etc/systemd/system"), Path("/lib/systemd/system"))
RUN = Path("/run/units")
PATIENCE_S = 60.0


def main(called: str, words: list[str]) -> int:
    """One command; 1 where a unit is not known."""
    RUN.mkdir(exist_ok=True)
    if called == "journalctl":
        for log in sorted(RUN.glob("cxrnode*.log")):
            sys.stdout.write(log.read_text(encoding="utf-8", errors="replace"))
        return 0
    verb, *named = [word for word in words if not word.startswith("--")]
    units = [
        part for name in named for part in parts(name if re.search(r"\.(service|target)$", name) else f"{name}.service")
    ]
    if verb in {"stop", "restart"}:
        for unit in reversed(units):
            stop(unit)
    if verb in {"start", "restart"} or (verb, "--now" in words) == ("enable", True):
        for unit in units:
            start(unit)
    if verb == "is-active":
        sys.stdout.writelines("active\n" if running(unit) else "inactive\n" for unit in units)
    return 0


def parts(unit: str) -> list[str]:
    """The services that are meant: those that a target wants, else itself."""
    said = settings(unit)
    return [one for line in said.get("Wants", []) for one in line.split()] if unit.endswith(".target") else [unit]


def settings(unit: str) -> dict[str, list[str]]:
    """What a unit's file says, by name; of a template's instance with its %i."""
    template, _, instance = unit.rpartition(".")[0].partition("@")
    name = f"{template}@.service" if instance else unit
    found = [folder / name for folder in UNITS if (folder / name).is_file()]
    if not found:
        sys.exit(f"Unit {unit} not found.")
    said: dict[str, list[str]] = {}
    for line in found[0].read_text(encoding="utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            said.setdefault(key, []).append(value.replace("%i", instance))
    return said


def start(unit: str) -> None:
    """Start it in a session of its own, by its account; its pid and its log are in RUN."""
    if running(unit):
        return
    said = settings(unit)
    account = pwd.getpwnam(said.get("User", ["root"])[0])
    environment = {"PATH": os.environ["PATH"], "HOME": account.pw_dir, "LANG": "C.UTF-8"}
    for file in said.get("EnvironmentFile", []):
        for line in Path(file).read_text(encoding="utf-8").splitlines():
            if (word := re.fullmatch(r"(\w+)=(.*)", line)) is not None:
                environment[word[1]] = "".join(shlex.split(word[2]))
    for folder in said.get("RuntimeDirectory", []):
        Path("/run", folder).mkdir(exist_ok=True)
        os.chown(Path("/run", folder), account.pw_uid, account.pw_gid)
    words = [
        re.sub(r"^\$(\w+)$", lambda found: environment.get(found[1], ""), word)
        for word in shlex.split(said["ExecStart"][0])
    ]
    with (RUN / f"{unit}.log").open("ab") as log:
        started = subprocess.Popen(
            [word for word in words if word],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=os.getgrouplist(account.pw_name, account.pw_gid),
            umask=0o077 if "UMask" in said else 0o022,
        )
    (RUN / f"{unit}.pid").write_text(str(started.pid))


def stop(unit: str) -> None:
    """SIGTERM to the first process (KillMode=mixed), and wait."""
    if (pid := running(unit)) == 0:
        return
    os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + PATIENCE_S
    while running(unit):
        if time.monotonic() > give_up:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.1)


def running(unit: str) -> int:
    """The pid of a unit that runs; 0 where it does not."""
    with suppress(OSError, ValueError):
        pid = int((RUN / f"{unit}.pid").read_text())
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            return pid
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[0]).name, sys.argv[1:]))
