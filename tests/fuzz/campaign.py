"""One run of a fuzzer: rounds until the time is up, each with a seed of its own that repeats it alone."""

import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom

SHORT_S = 8.0
"""What each fuzzer has in `make test`."""

KNOWN_SEED = 20261122
"""The seed of `make test`: the same rounds each time, so that what goes red there came with the change; `make fuzz`
draws its own and finds what was there before."""


@dataclass
class Campaign:
    """`seed` is printed: FUZZ_SEED=seed runs the same rounds again, FUZZ_ROUND=number one of them alone."""

    name: str
    seed: int = field(default_factory=lambda: int(os.environ.get("FUZZ_SEED", _drawn())))
    seconds: float = field(default_factory=lambda: float(os.environ.get("FUZZ_MINUTES", SHORT_S / 60)) * 60)
    rounds: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)
    """where in the code, and the first round and error there"""

    def __post_init__(self) -> None:
        tell(f"fuzz {self.name}: seed {self.seed}")

    def each(self) -> Iterator[tuple[int, Random]]:
        """The rounds by number, each with its own chance; at least one."""
        only = os.environ.get("FUZZ_ROUND")
        finish = time.monotonic() + self.seconds
        number = int(only or 0)
        while True:
            yield number, Random(f"{self.seed} {number}")
            self.rounds += 1
            number += 1
            if only or time.monotonic() > finish:
                return

    def ended(self, how: str) -> None:
        """Note how a round ended."""
        self.ends[how] += 1

    def found(self, number: int, error: BaseException) -> int:
        """Note a finding, one for each place in the code; its round's number."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno} {type(error).__name__}"
        if place not in self.findings:
            self.findings[place] = f"round {number}: {error}"
            tell(f"fuzz {self.name}: seed {self.seed}: {place}: {self.findings[place]}")
            traceback.print_exception(error)
        return number

    def __str__(self) -> str:
        ends = ", ".join(f"{how} {count}" for how, count in self.ends.most_common())
        return f"fuzz {self.name}: seed {self.seed}, {self.rounds} rounds; {ends}"


def _drawn() -> int:
    return SystemRandom().randrange(2**32) if "FUZZ_MINUTES" in os.environ else KNOWN_SEED


def tell(line: str) -> None:
    """Print at once: a process that dies has told its seed."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def resident_mb(pid: int) -> float:
    """Memory that a process holds, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def settled(true: Callable[[], bool], patience_s: float) -> bool:
    """Whether `true` becomes so before the patience ends."""
    give_up = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.05)
    return True
