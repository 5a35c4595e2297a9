"""A pipe of lines from the processes that take images to the one that keeps the ledger; nobody waits for it."""

import os
import threading
from collections import deque
from collections.abc import Iterator
from select import POLLOUT, poll

MOST_UNTOLD = 100_000
"""Lines that wait for a reader that does not listen; what they tell is on the disk as well, and it looks there."""
AT_ONCE = 2**16
ENOUGH = b"enough"
"""The line after which its reader ends; the next reader goes on where it stopped."""


class Inbox:
    """Made before the processes are; each closes the end that it does not use."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._untold: deque[bytes] = deque(maxlen=MOST_UNTOLD)
        self._telling, self._behind = threading.Lock(), False

    def tell(self, line: str) -> None:
        """Tell it, now or when there is room, in a thread of this process."""
        with self._telling:
            self._untold.append(f"{line}\n".encode())  # no longer than a pipe takes whole
            if not self._behind and not self._told():
                self._behind = True
                threading.Thread(target=self._tell_late, daemon=True).start()

    def ask_to_end(self) -> bool:
        """Have the reader end; False: there is no room to say so now."""
        try:
            return os.write(self._writing, ENOUGH + b"\n") > 0
        except BlockingIOError:
            return False

    def lines(self) -> Iterator[str]:
        """What is told, until nobody can tell any more, or it is enough; no line is left there by half."""
        rest, enough = b"", False
        while rest or not enough:
            if not (read := os.read(self._reading, 1 if enough else AT_ONCE)):
                return
            *whole, rest = (rest + read).split(b"\n")
            for line in whole:
                if line == ENOUGH:
                    enough = True
                else:
                    yield line.decode()

    def only_read(self) -> None:
        """This process tells nothing."""
        os.close(self._writing)

    def only_tell(self) -> None:
        """This process hears nothing."""
        os.close(self._reading)

    def _told(self) -> bool:
        """Whether nothing is left to be told."""
        while self._untold:
            try:
                os.write(self._writing, self._untold[0])
            except BlockingIOError:
                return False
            except OSError:  # nobody reads, and this process will end too: the next one finds all on the disk
                self._untold.clear()
                return True
            self._untold.popleft()
        return True

    def _tell_late(self) -> None:
        ready = poll()
        ready.register(self._writing, POLLOUT)
        while self._behind:
            ready.poll()
            with self._telling:
                self._behind = not self._told()
