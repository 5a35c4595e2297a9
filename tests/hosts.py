"""Hosts on a wire of their own: network namespaces on a bridge, each can be cut off and put back."""

import ctypes
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.peers import program

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


class Wire:
    """A switch in a namespace `centre` with the address 10.77.0.1, and hosts on it by number: 10.77.0.<number>."""

    NETWORK, CENTRE = "10.77.0.0/24", "10.77.0.1"

    def __init__(self) -> None:
        self._mark = secrets.token_hex(2)
        self._made = ExitStack()

    @contextmanager
    def laid(self) -> Iterator["Wire"]:
        """The wire with its centre inside; without root, or where the kernel forbids it, the test skips."""
        program("ip")
        if os.geteuid():
            pytest.skip("network namespaces want root")
        with self._made:
            try:
                self._namespace("centre")
            except subprocess.CalledProcessError as error:
                pytest.skip(f"the kernel gives no network namespace here: {error.stderr.decode().strip()}")
            self._ip("centre", "link", "add", "wire", "type", "bridge")
            self._ip("centre", "address", "add", f"{self.CENTRE}/24", "dev", "wire")
            self._ip("centre", "link", "set", "wire", "up")
            yield self

    def add(self, number: int) -> str:
        """A host with this number; its address."""
        self._namespace(f"host{number}")
        ours, theirs = f"cx{self._mark}{number}", "eth0"
        self._ip(
            "centre", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", self._name(f"host{number}")
        )
        self._ip("centre", "link", "set", ours, "master", "wire", "up")
        self._ip(f"host{number}", "address", "add", f"10.77.0.{number}/24", "dev", theirs)
        self._ip(f"host{number}", "link", "set", theirs, "up")
        return f"10.77.0.{number}"

    def cut(self, number: int) -> None:
        """Pull a host's cable: nothing is refused, nothing answers."""
        self._ip("centre", "link", "set", f"cx{self._mark}{number}", "nomaster")

    def mend(self, number: int) -> None:
        """Put it back."""
        self._ip("centre", "link", "set", f"cx{self._mark}{number}", "master", "wire")

    @contextmanager
    def within(self, host: str) -> Iterator[None]:
        """This thread, and what it starts, is on a host inside ("centre", "host2")."""
        here, there = Path("/proc/thread-self/ns/net"), Path(f"/run/netns/{self._name(host)}")
        with here.open("rb") as back, there.open("rb") as forth:
            _enter(forth.fileno())
            try:
                yield
            finally:
                _enter(back.fileno())

    def _namespace(self, host: str) -> None:
        subprocess.run(["ip", "netns", "add", self._name(host)], check=True, capture_output=True)
        self._made.callback(subprocess.run, ["ip", "netns", "delete", self._name(host)], check=False)
        self._ip(host, "link", "set", "lo", "up")

    def _name(self, host: str) -> str:
        return f"cxrnode-{self._mark}-{host}"

    def _ip(self, host: str, *words: str) -> None:
        subprocess.run(["ip", "-netns", self._name(host), *words], check=True, capture_output=True)


def _enter(namespace: int) -> None:
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def serve_redis(address: str, folder: Path) -> subprocess.Popen[bytes]:
    """A broker that listens on an address, started where this thread is."""
    command = [program("redis-server"), "--bind", address, "--protected-mode", "no", "--save", "", "--dir", str(folder)]
    with (folder / "redis.log").open("wb") as sink:
        return subprocess.Popen(command, stdout=sink, stderr=sink)
