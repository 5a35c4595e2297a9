"""The receiver, a process of its own, before peers that send whatever chance says, at every level of the protocol.

`make fuzz MINUTES=10` runs each level for that long. After every round a good sender is served; at the end the process
has the threads and open files it began with, its memory has not grown, there is no file outside its spool, and nothing
is on the disk or in the ledger that nobody was told of.
"""

from pathlib import Path

import pytest

from tests.fuzz import pdus
from tests.fuzz.campaign import Campaign, settled, tell
from tests.fuzz.hostile import LEVELS
from tests.fuzz.targets import Target, receiving

WARM_UP = 50
"""Rounds at the beginning and the end whose least memory is compared: one large data set takes 200 MB for a while."""
SILENCE_S, PATIENCE_S = 0.5, 10.0
HONEST_AT_FIRST = ("dimse", "dataset")
"""Levels whose association is a right one: what follows waits until it is accepted, however busy the machine is."""
ENDS = (
    (pdus.ABORT, "aborted"),
    (pdus.DATA, "answered"),
    (pdus.ASSOCIATE_RJ, "rejected"),
    (pdus.ASSOCIATE_AC, "unanswered"),
)
GROWTH_MB = 150
SPARE = 4
"""Threads that come and go by themselves."""
UNCOLLECTED = 40
"""Open files: pynetdicom leaves closed sockets to the collector, which it calls every 59 connections."""


@pytest.mark.parametrize("level", LEVELS)
def test_a_good_sender_is_served_whatever_others_send(level: str, tmp_path: Path) -> None:
    campaign = Campaign(level)
    with receiving(tmp_path) as target:
        assert target.serves()
        threads, handles, memory_mb = target.threads, target.handles, []
        told = unheard = 0
        for number, chance in campaign.each():
            script = LEVELS[level](chance)
            hangs_up = chance.randrange(8) == 0
            try:
                if hangs_up:
                    with pdus.Peer(target.port) as peer:
                        peer.send(*script)
                    unheard += 1
                    campaign.ended("hung up")
                else:
                    how, successes = conversation(target, script, PATIENCE_S if level in HONEST_AT_FIRST else SILENCE_S)
                    campaign.ended(how)
                    told += successes
                    unheard += how in ("aborted", "unanswered")
                assert target.process.poll() is None, "the receiver has died"
                assert target.serves(), "a good sender is not served"
            except Exception as error:  # noqa: BLE001  that is what the fuzzer looks for
                campaign.found(number, error)
                assert target.process.poll() is None, f"{campaign}: the receiver has died"
            memory_mb.append(target.memory_mb)
        check_end(target, campaign, threads, handles)
        warm, last = min(memory_mb[:WARM_UP]), min(memory_mb[-WARM_UP:])
        assert last - warm < GROWTH_MB
        assert len(target.keys()) <= target.sent + told + unheard, "on the disk, and nobody was told"
    tell(f"{campaign}; {last:.0f} MB at the least of the last {WARM_UP} rounds, {last - warm:+.0f} against the first")
    assert not campaign.findings


def conversation(target: Target, script: list[bytes], greeting_s: float) -> tuple[str, int]:
    """Send, hear the other out, and end: how it ended, and how many stores were acknowledged."""
    with pdus.Peer(target.port) as peer:
        greeting = peer.ask(script[0], greeting_s)
        answers = [greeting, *peer.send(*script[1:]).until_silent(SILENCE_S), *peer.finish().rest()]
    kinds = {kind for kind, _ in answers}
    how = next((name for kind, name in ENDS if kind in kinds), "closed")
    return how, pdus.statuses(answers).count(0)


def check_end(target: Target, campaign: Campaign, threads: int, handles: int) -> None:
    """Everything as it was, once the receiver's patience with the last of them is over."""
    patience_s = 4 * target.settings.receiving.network_timeout_s
    assert settled(lambda: target.threads <= threads + SPARE, patience_s), (
        f"{campaign}: {target.threads} threads, {threads} at first"
    )
    assert settled(lambda: target.handles <= handles + UNCOLLECTED, patience_s), (
        f"{campaign}: {target.handles} open files, {handles} at first"
    )
    assert target.strays() == []
    assert settled(lambda: target.counted() == len(target.keys()), patience_s), (
        f"{target.counted()} counted of {len(target.keys())}"
    )
