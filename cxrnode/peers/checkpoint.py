"""Where the reactor of an association rests while a request of ours waits for its answer.

pynetdicom's reactor says that it rests a moment before it does, and looks for messages once more: an answer that is
there by then is taken from whoever waits for it, in vain and for as long as the peer is given. With quick peers, about
one C-STORE in a thousand met that moment.
"""

import threading

LONGEST_S = 30.0
"""So long a reactor is waited for that is at work, on a request of the peer's own."""


class Checkpoint(threading.Event):
    """In the place of pynetdicom's own: cleared, the reactor rests when `clear` returns."""

    def __init__(self, reactor: threading.Thread) -> None:
        super().__init__()
        self._reactor = reactor
        self._changed = threading.Condition()
        self._resting = False
        self.set()

    def set(self) -> None:
        """Let the reactor go on."""
        with self._changed:
            super().set()
            self._changed.notify_all()

    def clear(self) -> None:
        """Have it rest, and return when it does; at once in the reactor itself, which cannot wait for itself."""
        with self._changed:
            super().clear()
            if threading.current_thread() is not self._reactor:
                self._changed.wait_for(lambda: self._resting or not self._reactor.is_alive(), LONGEST_S)

    def wait(self, timeout: float | None = None) -> bool:
        """The reactor's: pass, or rest until it may go on."""
        with self._changed:
            self._resting = True
            self._changed.notify_all()
            passed = self._changed.wait_for(self.is_set, timeout)
            self._resting = False
            return passed
