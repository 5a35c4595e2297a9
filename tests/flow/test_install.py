"""INSTALL.md typed as it stands, from a clone to a node that was upgraded; what it says is seen, is seen."""

import time

import pytest

from tests.house.rooms import ROOT
from tests.machines import Block, Machine, blocks, missing, running_machine
from tests.peers import library, program

PAGE = blocks((ROOT / "INSTALL.md").read_text(encoding="utf-8"))
PROGRAMS = ("Orthanc", "curl", "dcmdump", "echoscu", "ip", "openssl", "prometheus", "promtool", "redis-cli", "storescu")
DEBIAN_S = {"/etc/redis/redis.conf": "redis-server", "/etc/orthanc/orthanc.json": "orthanc"}
NIGHT = r"sed 's/^0 3 . . . root //; s/\\%/%/g' /etc/cron.d/cxrnode-backup | env -i PATH=/usr/bin:/bin sh"
"""The line of its cron job, as cron understands it: a path of two folders, and % only after a backslash."""
LOOKING_S = 90.0
"""For so long an administrator looks again for what is to be seen soon."""


@pytest.mark.timeout(900)
def test_what_the_page_says_is_seen_by_who_types_it() -> None:
    """Red when a command fails, or a line that it promises is not printed: another option, path, port, unit or word."""
    for name in PROGRAMS:
        program(name)
    for path, package in DEBIAN_S.items():
        library(path, package)
    with running_machine() as machine:
        for block in PAGE:
            type_until_seen(machine, block)
        status, printed = machine.type(NIGHT)
        assert status == 0, printed
        assert missing(("instances, ... files",), printed) == ""
        machine.type("systemctl stop cxrnode.target; systemctl is-active cxrnode-receiver")
        machine.type("cxrnode up > /run/up.log 2>&1 &")
        type_until_seen(machine, next(block for block in PAGE if block.commands.startswith("echoscu")))


def type_until_seen(machine: Machine, block: Block) -> None:
    """Once, or where it only looks as often as somebody would who waits for it."""
    give_up = time.monotonic() + LOOKING_S
    while True:
        status, printed = machine.type(block.commands)
        fault = f"{missing(block.seen, printed)!r} was not seen" if missing(block.seen, printed) else ""
        if (status != 0) != (block.kind == "fails"):
            fault = f"exit status {status}"
        if not fault:
            return
        if block.kind != "again" or time.monotonic() > give_up:
            logged = machine.type("journalctl; tail /var/log/redis/* /var/log/orthanc/*")[1]
            raise AssertionError(f"{block.section}: {fault}\n{block.commands}\n{printed}\nlogged: {logged[-6000:]}")
        time.sleep(1)


def test_every_block_is_of_a_kind_that_is_known() -> None:
    assert {block.kind for block in PAGE} == {"", "again", "else", "fails"}
    assert len({block.section for block in PAGE}) == 12


@pytest.mark.parametrize(
    ("seen", "printed", "lacking"),
    [
        (("a ... ok",), "│ a │ ok │\n", ""),
        (("a ... ok",), "│ a │ wrong │\n", "a ... ok"),
        (("first", "second"), "second\nfirst\n", "second"),
        (("{x} => 1 ...",), "{x} => 1 @[2]\n", ""),
        (("{x} => 1 ...",), "{x} => 0 @[2]\n", "{x} => 1 ..."),
    ],
)
def test_a_line_that_is_not_there_is_missed(seen: tuple[str, ...], printed: str, lacking: str) -> None:
    assert missing(seen, printed) == lacking
